#include "launcher/report/metric_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "launcher/report/metrics_text.h"
#include "launcher/report/status_line.h"

namespace muster::report {
namespace {

constexpr int kDotsAcross = 2;
constexpr int kDotsDown = 4;
constexpr int kLeastColumns = 8;
constexpr const char* kBandColor = "\033[36m";
constexpr const char* kLineColor = "\033[1m";
constexpr const char* kPlain = "\033[0m";

// Dots of one colour, eight to a character.
class Canvas {
 public:
  Canvas(int columns, int rows)
      : columns_(columns),
        rows_(rows),
        cells_(static_cast<std::size_t>(columns) * static_cast<std::size_t>(rows)) {}

  int width() const { return columns_ * kDotsAcross; }
  int height() const { return rows_ * kDotsDown; }

  // y counts from the bottom.
  void set(int x, int y) {
    if (x < 0 || y < 0 || x >= width() || y >= height()) return;
    constexpr std::uint8_t kBits[kDotsDown][kDotsAcross] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    const int down = height() - 1 - y;
    cells_[static_cast<std::size_t>((down / kDotsDown) * columns_ + x / kDotsAcross)] |=
        kBits[down % kDotsDown][x % kDotsAcross];
  }

  std::uint8_t at(int column, int row) const {
    return cells_[static_cast<std::size_t>(row * columns_ + column)];
  }

 private:
  int columns_;
  int rows_;
  std::vector<std::uint8_t> cells_;
};

std::string braille(std::uint8_t dots) {
  if (dots == 0) return " ";
  const unsigned code = 0x2800U + dots;
  return {static_cast<char>(0xE0U | (code >> 12)), static_cast<char>(0x80U | ((code >> 6) & 0x3FU)),
          static_cast<char>(0x80U | (code & 0x3FU))};
}

struct Scale {
  double least = 0;
  double most = 1;

  int dot(double value, int height) const {
    return static_cast<int>(std::lround((value - least) / (most - least) * (height - 1)));
  }
};

Scale scale_of(const std::vector<metrics::Band>& bands) {
  Scale scale{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const metrics::Band& band : bands) {
    for (const double value : {band.least, band.most}) {
      if (!std::isfinite(value)) continue;
      scale.least = std::min(scale.least, value);
      scale.most = std::max(scale.most, value);
    }
  }
  if (!(scale.most >= scale.least)) return {0, 1};
  if (!(scale.most > scale.least)) {
    const double room = scale.most == 0 ? 1 : std::abs(scale.most) / 2;
    return {scale.least - room, scale.most + room};
  }
  // Of numbers so large that their difference is none.
  if (!std::isfinite(scale.most - scale.least)) return {scale.least / 2, scale.most / 2};
  return scale;
}

void draw(const std::vector<metrics::Band>& bands, const Scale& scale, Canvas& line, Canvas& area) {
  const auto first = static_cast<double>(bands.front().step);
  const double range = std::max(1.0, static_cast<double>(bands.back().step) - first);
  int last_x = -1;
  int last_y = 0;
  for (const metrics::Band& band : bands) {
    const int x = static_cast<int>(
        std::lround((static_cast<double>(band.step) - first) / range * (line.width() - 1)));
    if (std::isfinite(band.least) && std::isfinite(band.most) && band.least < band.most) {
      const int top = scale.dot(band.most, area.height());
      for (int y = scale.dot(band.least, area.height()); y <= top; ++y) {
        if ((x + y) % 2 == 0) area.set(x, y);
      }
    }
    if (!std::isfinite(band.mean)) {
      last_x = -1;
      continue;
    }
    const int y = scale.dot(band.mean, line.height());
    line.set(x, y);
    for (int between = last_x + 1; last_x >= 0 && between < x; ++between) {
      line.set(between, last_y + (y - last_y) * (between - last_x) / (x - last_x));
    }
    // A steep line has no holes.
    for (int up = std::min(last_y, y); last_x >= 0 && x - last_x <= 1 && up < std::max(last_y, y);
         ++up) {
      line.set(x, up);
    }
    last_x = x;
    last_y = y;
  }
}

std::string padded(const std::string& text, std::size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

}  // namespace

std::string metric_plot(const std::string& name, const std::vector<metrics::Band>& bands,
                        const PlotLook& look) {
  const auto drawn_count = std::count_if(bands.begin(), bands.end(),
                                         [](const auto& band) { return std::isfinite(band.mean); });
  const auto left_out = static_cast<std::ptrdiff_t>(bands.size()) - drawn_count;
  std::string note;
  if (bands.empty()) note = ": no values";
  if (left_out > 0)
    note =
        ": " + std::to_string(left_out) + " of " + std::to_string(bands.size()) + " are nan or inf";
  const int room_for_name = look.columns - static_cast<int>(note.size());
  const std::string title = elided(name, std::max(room_for_name, kLeastColumns)) + note;
  if (drawn_count == 0) return title + "\n";
  const Scale scale = scale_of(bands);
  const std::string top = short_number(scale.most);
  const std::string middle = short_number(scale.least / 2 + scale.most / 2);
  const std::string bottom = short_number(scale.least);
  const std::size_t margin = std::max({top.size(), middle.size(), bottom.size()});
  const int columns = std::max(kLeastColumns, look.columns - static_cast<int>(margin) - 3);
  const int rows = std::max(2, look.rows);
  Canvas line(columns, rows);
  Canvas area(columns, rows);
  draw(bands, scale, line, area);
  std::string text = title + "\n";
  for (int row = 0; row < rows; ++row) {
    const bool labelled = row == 0 || row == rows / 2 || row == rows - 1;
    const std::string& label = row == 0 ? top : row == rows - 1 ? bottom : middle;
    text += padded(labelled ? label : "", margin) + (labelled ? " ┤" : " │");
    std::string drawn;
    std::size_t end = 0;
    for (int column = 0; column < columns; ++column) {
      const std::uint8_t dots = line.at(column, row);
      const std::uint8_t both = dots | area.at(column, row);
      if (look.color && both != 0) drawn += dots != 0 ? kLineColor : kBandColor;
      drawn += braille(both);
      if (look.color && both != 0) drawn += kPlain;
      if (both != 0) end = drawn.size();
    }
    text += drawn.substr(0, end) + "\n";
  }
  const std::string first = std::to_string(bands.front().step);
  const std::string last = std::to_string(bands.back().step);
  const auto room = static_cast<std::size_t>(columns);
  std::string axis = "step " + first;
  if (axis.size() + last.size() < room) {
    axis += padded(last, room - axis.size());
  } else {
    axis += " +" + std::to_string(static_cast<std::uint64_t>(bands.back().step) -
                                  static_cast<std::uint64_t>(bands.front().step));
  }
  return text + std::string(margin + 2, ' ') + axis + "\n";
}

}  // namespace muster::report
