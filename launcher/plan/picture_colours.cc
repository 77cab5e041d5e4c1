#include "launcher/plan/picture_colours.h"

#include <cmath>
#include <cstddef>

namespace muster::plan {
namespace {

// Found by a search that made the smallest CIEDE2000 difference among them, the two greys of unused
// cores and the red of remote ties as large as it could, seen by all three kinds of dichromats:
// 11.8.  picture_test computes it again.
constexpr std::array<std::string_view, kRankColourCount> kColours = {
    "#6587a7", "#d79b20", "#08ba7d", "#fec7ff", "#850579", "#eae72c", "#0600e9", "#9db8b8",
    "#553d2e", "#03ffae", "#a04cfb", "#767d64", "#ef1293", "#b499ff", "#007d25", "#79636e"};

double channel(std::string_view colour, std::size_t at) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  const double value = (digit(colour[at]) * 16 + digit(colour[at + 1])) / 255.0;
  return value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
}

}  // namespace

const std::array<std::string_view, kRankColourCount>& rank_colours() {
  return kColours;
}

bool wants_dark_text(int colour) {
  const std::string_view text = kColours[static_cast<std::size_t>(colour)];
  const double luminance =
      0.2126 * channel(text, 1) + 0.7152 * channel(text, 3) + 0.0722 * channel(text, 5);
  // Contrast as WCAG has it: (l + 0.05) / 0.05 against 1.05 / (l + 0.05).
  return (luminance + 0.05) * (luminance + 0.05) > 0.05 * 1.05;
}

}  // namespace muster::plan
