#include "launcher/plan/picture_words.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/text.h"

namespace muster::plan {
namespace {

// Advances of the characters from blank to tilde, in thousandths of the size, rounded up.
constexpr std::array<std::int16_t, 95> kPlain = {
    318, 401, 460, 838, 637, 951, 780, 275, 391, 391, 500, 838, 318, 361,  318, 337, 637, 637, 637,
    637, 637, 637, 637, 637, 637, 637, 337, 337, 838, 838, 838, 531, 1000, 685, 687, 699, 771, 632,
    576, 775, 752, 295, 295, 656, 558, 863, 749, 788, 604, 788, 695, 635,  611, 732, 685, 989, 686,
    611, 686, 391, 337, 391, 838, 500, 500, 613, 635, 550, 635, 616, 353,  635, 634, 278, 278, 580,
    278, 975, 634, 612, 635, 635, 412, 521, 393, 634, 592, 818, 592, 592,  525, 637, 337, 637, 838};
constexpr std::array<std::int16_t, 95> kBold = {
    349,  457, 521, 838, 696, 1002, 873, 307,  458, 458, 523, 838, 380, 416,  380, 366,
    696,  696, 696, 696, 696, 696,  696, 696,  696, 696, 400, 400, 838, 838,  838, 581,
    1000, 774, 763, 734, 831, 684,  684, 821,  837, 373, 373, 775, 638, 996,  837, 851,
    733,  851, 771, 721, 683, 813,  774, 1104, 771, 725, 726, 458, 366, 458,  838, 500,
    500,  675, 716, 593, 716, 679,  436, 716,  712, 343, 343, 666, 343, 1042, 712, 688,
    716,  716, 494, 596, 479, 712,  652, 924,  646, 652, 583, 712, 366, 712,  838};
constexpr double kWidestOther = 1000;  // beyond ASCII, of the scripts that hostnames come in
constexpr double kSlack = 1.02;

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

// How many bytes of valid UTF-8 begin here; 0: none.
std::size_t utf8_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  std::size_t length = 0;
  if (first < 0x80U) return 1;
  if (first >= 0xC2U && first < 0xE0U) length = 2;
  if (first >= 0xE0U && first < 0xF0U) length = 3;
  if (length == 0 || text.size() < length) return 0;  // four bytes are left out, too
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  if (first == 0xE0U && second < 0xA0U) return 0;   // overlong
  if (first == 0xEDU && second >= 0xA0U) return 0;  // surrogates
  if (first == 0xEFU && second == 0xBFU && static_cast<unsigned char>(text[2]) >= 0xBEU) return 0;
  return length;
}

}  // namespace

double width_of(std::string_view text, double size, bool bold) {
  const auto& table = bold ? kBold : kPlain;
  double width = 0;
  for (const char c : text) {
    if (is_continuation(c)) continue;
    width += c >= ' ' && c <= '~' ? table[static_cast<std::size_t>(c - ' ')] : kWidestOther;
  }
  return width * size / 1000 * kSlack;
}

std::string fitted(std::string_view text, double width, double size, bool bold) {
  if (width_of(text, size, bold) <= width) return std::string(text);
  std::string shown(text);
  while (!shown.empty()) {
    while (!shown.empty() && is_continuation(shown.back())) shown.pop_back();
    if (!shown.empty()) shown.pop_back();
    if (!shown.empty() && width_of(shown + "…", size, bold) <= width) return shown + "…";
  }
  return "";
}

std::vector<std::string> wrapped(std::string_view text, double width, double size, int most) {
  std::vector<std::string> lines;
  std::string line;
  for (const std::string& word : split(text, ' ')) {
    const std::string longer = line.empty() ? word : line + " " + word;
    if (width_of(longer, size, false) <= width) {
      line = longer;
      continue;
    }
    if (static_cast<int>(lines.size()) + 1 >= most) {
      line = longer;  // the last one is cut
      break;
    }
    if (!line.empty()) lines.push_back(line);
    line = word;
  }
  if (!line.empty()) lines.push_back(line);
  for (std::string& each : lines) each = fitted(each, width, size, false);
  return lines;
}

std::string drawable(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    valid += length == 0 ? "?" : std::string(text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return without_controls(valid);
}

}  // namespace muster::plan
