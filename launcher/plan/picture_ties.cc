// Ties run at right angles: down from a rank's chip into the channel of its row, along it, and down
// into the GPU; between rows through the left margin; to further lines of devices along the left
// edge of their place.
#include <algorithm>

#include "launcher/plan/picture_layout.h"

namespace muster::plan {
namespace {

class Router {
 public:
  Router(const NodeParts& parts, const NodeLayout& layout, double lane)
      : parts_(parts), layout_(layout), lane_(lane), used_(layout.channels.size()) {}

  Tie route(const PlannedTie& planned) {
    const PlaceGeometry& from = layout_.places[static_cast<std::size_t>(planned.from_place)];
    const PlaceGeometry& to = layout_.places[static_cast<std::size_t>(planned.to_place)];
    const Rect gpu = to.gpus.at(planned.gpu);
    const int line = to.lines.at(planned.gpu);
    // Several ties of one GPU end side by side.
    const double end_x = std::min(gpu.middle_x() + 6.0 * arrived_[planned.gpu]++, gpu.right() - 4);
    Tie tie{{}, planned.kind, colour_of(*planned.rank)};
    const double y = next_height(from.row);
    leave(from, static_cast<std::size_t>(planned.from_chip), y, tie);
    double at_y = y;
    if (to.row != from.row) {
      const double x = lane_ + 3 * (crossings_++ % 5);
      tie.points.push_back({x, y});
      at_y = next_height(to.row);
      tie.points.push_back({x, at_y});
    }
    if (line > 0) {
      const double x = to.left + 3 + 2 * (turns_++ % 3);
      tie.points.push_back({x, at_y});
      at_y = to.line_tops[static_cast<std::size_t>(line) - 1] + 3 +
             3.0 * (in_line_[{planned.to_place, line}]++ % 16);
      tie.points.push_back({x, at_y});
    }
    // Straight down where that is possible.
    const double x = tie.points.back().x;
    const bool is_above = x > gpu.x + 4 && x < gpu.right() - 4 && arrived_[planned.gpu] == 1;
    arrive(planned, gpu, is_above ? x : end_x, at_y, tie);
    return tie;
  }

 private:
  double next_height(int row) {
    const auto index = static_cast<std::size_t>(row);
    return layout_.channels[index].y_of(used_[index]++);
  }

  void leave(const PlaceGeometry& from, std::size_t chip, double y, Tie& tie) {
    const Rect& rect = from.chips[chip];
    if (from.chip_is_last[chip]) {
      const double x = std::min(rect.middle_x() + 6.0 * left_[{&from, chip}]++, rect.right() - 4);
      tie.points.push_back({x, rect.bottom()});
      tie.points.push_back({x, y});
      return;
    }
    // Past the chips below it, through the gap at its left.
    tie.points.push_back({rect.x, rect.middle_y()});
    tie.points.push_back({rect.x - 4, rect.middle_y()});
    tie.points.push_back({rect.x - 4, y});
  }

  void arrive(const PlannedTie& planned, const Rect& gpu, double end_x, double y, Tie& tie) {
    if (!is_below_another(planned, gpu)) {
      tie.points.push_back({end_x, y});
      tie.points.push_back({end_x, gpu.y});
      return;
    }
    tie.points.push_back({gpu.x - 4, y});
    tie.points.push_back({gpu.x - 4, gpu.middle_y()});
    tie.points.push_back({gpu.x, gpu.middle_y()});
  }

  // In the second row of GPUs below one bridge.
  bool is_below_another(const PlannedTie& planned, const Rect& gpu) const {
    const PlaceGeometry& to = layout_.places[static_cast<std::size_t>(planned.to_place)];
    return std::any_of(to.gpus.begin(), to.gpus.end(), [&](const auto& other) {
      return other.second.x < gpu.right() && other.second.right() > gpu.x &&
             other.second.y < gpu.y && to.lines.at(other.first) == to.lines.at(planned.gpu);
    });
  }

  const NodeParts& parts_;
  const NodeLayout& layout_;
  double lane_;
  std::vector<int> used_;
  int crossings_ = 0;
  int turns_ = 0;
  std::map<const topology::Gpu*, int> arrived_;
  std::map<std::pair<const PlaceGeometry*, std::size_t>, int> left_;
  std::map<std::pair<int, int>, int> in_line_;
};

}  // namespace

void draw_ties(const NodeParts& parts, const NodeLayout& layout, double lane, Picture& picture) {
  Router router(parts, layout, lane);
  for (const PlannedTie& tie : parts.ties) picture.ties.push_back(router.route(tie));
}

}  // namespace muster::plan
