// A place is a box: its name, its cores, the ranks that have them, a channel for ties, and its
// devices in lines.  Places of one row have their channels at one height, so that a tie can run
// from any of them to any other without crossing a word.
#include "launcher/plan/picture_layout.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/picture_colours.h"
#include "launcher/plan/picture_words.h"

namespace muster::plan {
namespace {

using topology::Gpu;
using topology::kUnknown;
using topology::Nic;

constexpr double kPad = 10;
constexpr double kGap = 8;
constexpr double kHeader = 38;  // of a place: its name and its CPUs
constexpr double kPackageHeader = 24;
constexpr double kCellGap = 3;
constexpr double kLargestCell = 34;
constexpr double kSmallestCell = 22;
constexpr double kTallestCell = 26;
constexpr double kChipHeight = 32;
constexpr double kGpuHeight = 47;
constexpr double kNicHeight = 45;
constexpr double kSwitchLabel = 14;
constexpr double kSwitchPad = 5;
constexpr int kMostInARow = 4;
constexpr std::size_t kMostBars = 8;  // of one NIC; more are too small to see

struct Grid {
  int columns = 1;
  double width = 0;
  double height = 0;
  double gap = 0;

  int rows(std::size_t count) const { return (static_cast<int>(count) + columns - 1) / columns; }
  double total_height(std::size_t count) const {
    return count == 0 ? 0 : rows(count) * (height + gap) - gap;
  }
  Rect cell(std::size_t index, double x, double y) const {
    const int column = static_cast<int>(index) % columns;
    const int row = static_cast<int>(index) / columns;
    return {x + column * (width + gap), y + row * (height + gap), width, height};
  }
};

// As many columns as fit, rather fewer when then every row is full.
Grid core_grid(std::size_t count, double inner) {
  const int most = std::max(1, static_cast<int>((inner + kCellGap) / (kSmallestCell + kCellGap)));
  int columns = std::min<int>(most, std::max<int>(1, static_cast<int>(count)));
  for (int fewer = columns; fewer * 2 > columns; --fewer) {
    if (static_cast<int>(count) % fewer == 0) {
      columns = fewer;
      break;
    }
  }
  const double width = std::min(kLargestCell, (inner + kCellGap) / columns - kCellGap);
  return {columns, width, std::min(width, kTallestCell), kCellGap};
}

Grid even_grid(std::size_t count, double inner, double least, double most, double height) {
  const int fit = std::max(1, static_cast<int>((inner + kGap) / (least + kGap)));
  const int lines = std::max(1, (static_cast<int>(count) + fit - 1) / fit);
  const int columns = std::max(1, (static_cast<int>(count) + lines - 1) / lines);
  return {columns, std::min(most, (inner + kGap) / columns - kGap), height, kGap};
}

std::string rank_list(const RankList& ranks) {
  std::vector<int> numbers;
  for (const RankPlacement* rank : ranks) numbers.push_back(rank->rank);
  return (numbers.size() == 1 ? "rank " : "ranks ") + CpuSet::from_vector(numbers).to_string();
}

// "ranks 0-3", or in a narrow box "0-3", or how many they are: never a list that is cut.
std::string fitting_rank_list(const RankList& ranks, double width) {
  const std::string whole = rank_list(ranks);
  const std::string numbers = whole.substr(whole.find(' ') + 1);
  if (width_of(whole, 10, false) <= width) return whole;
  if (width_of(numbers, 10, false) <= width) return numbers;
  return counted(static_cast<std::int64_t>(ranks.size()), "rank");
}

std::string name_of(const Place& place) {
  switch (place.kind) {
    case Place::Kind::kNumaNode: {
      const std::uint64_t memory = place.node->memory_bytes;
      return fmt::format("NUMA {}{}", place.numa_node,
                         memory == 0 ? "" : ", " + format_bytes(memory));
    }
    case Place::Kind::kPackage: return "on this package, NUMA node unknown";
    case Place::Kind::kNowhere: return "where these are, nobody could tell";
  }
  return "";
}

std::string cpus_of(const Place& place) {
  CpuSet cpus;
  for (const CoreCell& cell : place.cells) {
    if (cell.core != nullptr) cpus = cpus.united(cell.core->pus);
  }
  return cpus.empty() ? "" : "CPUs " + cpus.to_string();
}

// "07:00.0" where every device is in PCI domain 0.
std::string shown_bus_id(const std::string& bus_id, bool with_domain) {
  constexpr std::string_view kZero = "0000:";
  return !with_domain && bus_id.starts_with(kZero) ? bus_id.substr(kZero.size()) : bus_id;
}

std::string speed_of(const Nic& nic) {
  return nic.gigabits_per_second > 0 ? fmt::format("{:g} Gb/s", nic.gigabits_per_second) : "";
}

// One node on its way into a picture.
class Drawing {
 public:
  Drawing(const NodeParts& parts, const RankList& ranks, Picture& picture)
      : parts_(parts), ranks_(ranks), picture_(picture) {
    layout_.places.resize(parts.places.size());
    for (const Place& place : parts.places) {
      for (const DeviceGroup& group : place.groups) {
        for (const Gpu* gpu : group.gpus) with_domain_ |= !gpu->bus_id.starts_with("0000:");
        for (const Nic* nic : group.nics) with_domain_ |= !nic->bus_id.starts_with("0000:");
      }
    }
  }

  NodeLayout draw(double top) {
    double y = top;
    std::size_t at = 0;
    std::vector<std::vector<std::size_t>> packages;
    for (; at < parts_.places.size() && parts_.places[at].kind == Place::Kind::kNumaNode; ++at) {
      if (packages.empty() ||
          parts_.places[packages.back().front()].package != parts_.places[at].package) {
        packages.emplace_back();
      }
      packages.back().push_back(at);
    }
    std::size_t homes = at;
    const double page = picture_.width - 2 * kPageMargin;
    if (homes <= kMostInARow) {
      y = draw_packages(packages, kPageMargin, y, page);
    } else {
      for (const auto& package : packages) y = draw_packages({package}, kPageMargin, y, page);
    }
    for (; at < parts_.places.size(); ++at) {
      const Place& place = parts_.places[at];
      layout_.channels.emplace_back();
      count_slots({at});
      if (place.kind == Place::Kind::kPackage) {
        add_text(picture_, {kPageMargin, y, page, 14}, fmt::format("package {}", place.package), 11,
                 0, true);
        y += 16;
      }
      y = draw_row({at}, {{kPageMargin, y, page, 0}}, 0) + kGap;
    }
    layout_.bottom = y;
    return std::move(layout_);
  }

 private:
  // Packages side by side, each as wide as its share of NUMA nodes.
  double draw_packages(const std::vector<std::vector<std::size_t>>& packages, double x, double y,
                       double width) {
    if (packages.empty()) return y;
    std::size_t homes = 0;
    for (const auto& package : packages) homes += package.size();
    const bool one = packages.size() == 1;
    const std::size_t lines = one ? (homes + kMostInARow - 1) / kMostInARow : 1;
    const std::size_t per_line = one ? (homes + lines - 1) / lines : homes;
    std::vector<int> boxes;
    double left = x;
    std::vector<Rect> frames;
    const double unit =
        (width - kGap * static_cast<double>(packages.size() - 1)) / static_cast<double>(homes);
    for (const auto& package : packages) {
      const double own = unit * static_cast<double>(package.size());
      frames.push_back({left, y, own, 0});
      boxes.push_back(add_box(picture_, frames.back(), BoxKind::kPackage, 0));
      const int number = parts_.places[package.front()].package;
      add_text(picture_, {left + kPad, y + 5, own - 2 * kPad, 15},
               number == kUnknown ? "package unknown" : fmt::format("package {}", number), 12,
               boxes.back(), true);
      left += own + kGap;
    }
    double bottom = y + kPackageHeader;
    for (std::size_t line = 0; line < lines; ++line) {
      std::vector<std::size_t> row;
      std::vector<Rect> rects;
      std::vector<int> parents;
      for (std::size_t i = 0; i < packages.size(); ++i) {
        const std::size_t first = one ? line * per_line : 0;
        const std::size_t last =
            one ? std::min(first + per_line, packages[i].size()) : packages[i].size();
        const auto count = static_cast<double>(one ? per_line : packages[i].size());
        const double inner = frames[i].width - 2 * kPad;
        const double own = (inner - kGap * (count - 1)) / count;
        for (std::size_t k = first; k < last; ++k) {
          row.push_back(packages[i][k]);
          rects.push_back(
              {frames[i].x + kPad + static_cast<double>(k - first) * (own + kGap), bottom, own, 0});
          parents.push_back(boxes[i]);
        }
      }
      layout_.channels.emplace_back();
      count_slots(row);
      parents_ = parents;
      bottom = draw_row(row, rects, -1) + kGap;
    }
    bottom += kPad - kGap;
    for (const int box : boxes)
      picture_.boxes[static_cast<std::size_t>(box)].rect.height = bottom - y;
    return bottom + kGap;
  }

  // How many ties run in the channel of these places: each has a height of its own.
  void count_slots(const std::vector<std::size_t>& row) {
    int slots = 0;
    for (const PlannedTie& tie : parts_.ties) {
      const auto in_row = [&](int place) {
        return std::find(row.begin(), row.end(), static_cast<std::size_t>(place)) != row.end();
      };
      slots += in_row(tie.from_place) || in_row(tie.to_place) ? 1 : 0;
    }
    Channel& channel = layout_.channels.back();
    channel.slots = slots;
    // A crowd of ties comes closer together.
    channel.slot_height = slots > 12 ? 48.0 / slots : 4;
  }

  double draw_row(const std::vector<std::size_t>& row, std::vector<Rect> rects, int parent) {
    double cores_height = 0;
    double chips_height = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const Place& place = parts_.places[row[i]];
      const double inner = rects[i].width - 2 * kPad;
      cores_height = std::max(
          cores_height, core_grid(place.cells.size(), inner).total_height(place.cells.size()));
      chips_height =
          std::max(chips_height, chip_grid(place, inner).total_height(place.chips.size()));
    }
    Channel& channel = layout_.channels.back();
    const double top = rects.front().y;
    const double chips_top = top + kHeader + cores_height + (chips_height > 0 ? kGap : 0);
    channel.top = chips_top + chips_height;
    const double devices_top =
        channel.top + (channel.slots == 0 ? kGap : 12 + channel.slots * channel.slot_height);
    double bottom = devices_top;
    std::vector<int> boxes;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const Place& place = parts_.places[row[i]];
      const bool known = place.kind == Place::Kind::kNumaNode;
      const int box =
          add_box(picture_, rects[i], known ? BoxKind::kNumaNode : BoxKind::kUnknownPlace,
                  parent >= 0 ? parent : parents_[i]);
      boxes.push_back(box);
      PlaceGeometry& geometry = layout_.places[row[i]];
      geometry.row = static_cast<int>(layout_.channels.size()) - 1;
      geometry.left = rects[i].x;
      const double inner = rects[i].width - 2 * kPad;
      add_text(picture_, {rects[i].x + kPad, top + 5, inner, 15}, name_of(place), 12, box, true);
      add_text(picture_, {rects[i].x + kPad, top + 20, inner, 13}, cpus_of(place), 10, box, false,
               true);
      draw_cores(place, {rects[i].x + kPad, top + kHeader, inner, 0}, box);
      draw_chips(place, geometry, {rects[i].x + kPad, chips_top, inner, 0}, box);
      bottom = std::max(
          bottom, draw_devices(place, geometry, {rects[i].x + kPad, devices_top, inner, 0}, box));
    }
    for (const int box : boxes) {
      picture_.boxes[static_cast<std::size_t>(box)].rect.height = bottom + kPad - top;
    }
    return bottom + kPad;
  }

  void draw_cores(const Place& place, const Rect& area, int parent) {
    const Grid grid = core_grid(place.cells.size(), area.width);
    for (std::size_t i = 0; i < place.cells.size(); ++i) {
      const CoreCell& cell = place.cells[i];
      const Rect rect = grid.cell(i, area.x, area.y);
      if (cell.core == nullptr) {
        const int box = add_box(picture_, rect, BoxKind::kForbiddenCore, parent);
        picture_.boxes[static_cast<std::size_t>(box)].tooltip = "not ours to use";
        continue;
      }
      const bool owned = cell.ranks.size() == 1;
      const bool of_all = cell.ranks.empty() && !ranks_.empty() && !ranks_.front()->bound;
      const BoxKind kind = owned                           ? BoxKind::kCore
                           : cell.ranks.empty() && !of_all ? BoxKind::kUnusedCore
                                                           : BoxKind::kSharedCore;
      const int colour = owned ? colour_of(*cell.ranks.front()) : -1;
      Box& box =
          picture_.boxes[static_cast<std::size_t>(add_box(picture_, rect, kind, parent, colour))];
      box.threads = cell.core->pus.count();
      box.tooltip =
          fmt::format("core {}, CPUs {}: {}", cell.core->logical_index, cell.core->pus.to_string(),
                      of_all               ? "shared by all ranks"
                      : cell.ranks.empty() ? "no rank"
                                           : rank_list(cell.ranks));
      if (cell.ranks.empty()) continue;
      const std::string text =
          owned ? std::to_string(cell.ranks.front()->rank) : fmt::format("{}×", cell.ranks.size());
      const double size = 10;
      if (width_of(text, size, false) > rect.width - 2) continue;
      const int self = static_cast<int>(picture_.boxes.size()) - 1;
      add_text(picture_, {rect.x + 1, rect.y + 2, rect.width - 2, 13}, text, size, self, false,
               false, true, colour);
    }
  }

  static Grid chip_grid(const Place& place, double inner) {
    const bool many = place.chips.size() == 1 && place.chips.front().ranks.size() > 1;
    return even_grid(place.chips.size(), inner, 56, many ? 200 : 110, kChipHeight);
  }

  void draw_chips(const Place& place, PlaceGeometry& geometry, const Rect& area, int parent) {
    const Grid grid = chip_grid(place, area.width);
    for (std::size_t i = 0; i < place.chips.size(); ++i) {
      const RankChip& chip = place.chips[i];
      // The last row ends where the channel begins.
      const double offset =
          layout_.channels.back().top - area.y - grid.total_height(place.chips.size());
      const Rect rect = grid.cell(i, area.x, area.y + offset);
      const bool one = chip.ranks.size() == 1;
      const int colour = one ? colour_of(*chip.ranks.front()) : -1;
      const int box = add_box(picture_, rect, chip.remote ? BoxKind::kRemoteRank : BoxKind::kRank,
                              parent, colour);
      geometry.chips.push_back(rect);
      geometry.chip_is_last.push_back(static_cast<int>(i) / grid.columns ==
                                      grid.rows(place.chips.size()) - 1);
      const double inner = rect.width - 8;
      add_text(picture_, {rect.x + 4, rect.y + 2, inner, 14}, rank_list(chip.ranks), 11, box, true,
               false, true, colour);
      std::string cores = counted(chip.cores, "core");
      if (!one && !chip.ranks.front()->bound) cores = "share all cores";
      if (chip.remote) {
        const std::string longer = cores + ", far";
        cores = width_of(longer, 10, false) <= inner ? longer : std::to_string(chip.cores) + " far";
      }
      add_text(picture_, {rect.x + 4, rect.y + 17, inner, 13}, cores, 10, box, false, false, true,
               colour);
    }
  }

  struct GroupShape {
    int columns = 1;
    double width = 0;
    double height = 0;
  };

  GroupShape shape_of(const DeviceGroup& group, double device, double inner) const {
    const bool boxed = !group.bridge.empty();
    const double pad = boxed ? 2 * kSwitchPad : 0;
    const int fit = std::max(1, static_cast<int>((inner - pad + kGap) / (device + kGap)));
    const auto most = static_cast<int>(std::max(group.gpus.size(), group.nics.size()));
    GroupShape shape;
    // One GPU with many NICs: two columns rather than a row that pushes other GPUs away.
    shape.columns = std::clamp(most, 1, fit);
    if (group.gpus.size() <= 1 && shape.columns > 2) shape.columns = 2;
    const auto rows = [&](std::size_t count) {
      return (static_cast<int>(count) + shape.columns - 1) / shape.columns;
    };
    shape.width = shape.columns * (device + kGap) - kGap + pad;
    shape.height = rows(group.gpus.size()) * (kGpuHeight + kGap) +
                   rows(group.nics.size()) * (kNicHeight + kGap) - kGap +
                   (boxed ? 2 * kSwitchPad + kSwitchLabel : 0);
    return shape;
  }

  // How wide one device is: as many as the widest line wants, but never too narrow for its words.
  double device_width(const Place& place, double inner) const {
    const double least = with_domain_ ? 85 : 52;
    std::size_t gpus = 0;
    std::size_t widest = 1;
    bool boxed = false;
    for (const DeviceGroup& group : place.groups) {
      gpus += group.gpus.size();
      widest = std::max({widest, group.gpus.size(), std::min<std::size_t>(2, group.nics.size())});
      boxed |= !group.bridge.empty();
    }
    const double pad = boxed ? 2 * kSwitchPad : 0;
    const double share =
        (inner - (boxed ? pad * static_cast<double>(std::max<std::size_t>(1, gpus / widest)) : 0)) /
            static_cast<double>(std::max<std::size_t>(gpus, 1)) -
        kGap;
    const double all = (inner - pad + kGap) / static_cast<double>(widest) - kGap;
    return std::max(std::min(least, inner - pad), std::min({share, all, 116.0}));
  }

  double draw_devices(const Place& place, PlaceGeometry& geometry, const Rect& area, int parent) {
    const double device = device_width(place, area.width);
    // GPUs first, then what has none; in their order within each.
    std::vector<const DeviceGroup*> groups;
    for (const DeviceGroup& group : place.groups) {
      if (!group.gpus.empty()) groups.push_back(&group);
    }
    for (const DeviceGroup& group : place.groups) {
      if (group.gpus.empty()) groups.push_back(&group);
    }
    double x = area.x;
    double y = area.y;
    double line_height = 0;
    int line = 0;
    bool last_had_gpus = true;
    for (const DeviceGroup* group : groups) {
      const GroupShape shape = shape_of(*group, device, area.width);
      const bool wrap = x > area.x && (x + shape.width > area.right() + 0.5 ||
                                       (last_had_gpus && group->gpus.empty()));
      if (wrap) {
        x = area.x;
        y += line_height + kGap;
        line_height = 0;
        ++line;
        geometry.line_tops.push_back(y);
        if (!group->gpus.empty()) y += line_channel(group, place);
      }
      draw_group(*group, shape, device, x, y, line, geometry, parent);
      last_had_gpus = !group->gpus.empty();
      line_height = std::max(line_height, shape.height);
      x += shape.width + kGap;
    }
    return groups.empty() ? y - kGap : y + line_height;
  }

  // Room above a further line of GPUs for the ties that end in it.
  double line_channel(const DeviceGroup* /*first*/, const Place& place) const {
    std::size_t gpus = 0;
    for (const DeviceGroup& group : place.groups) gpus += group.gpus.size();
    const bool tied = std::any_of(parts_.ties.begin(), parts_.ties.end(), [&](const auto& tie) {
      return &parts_.places[static_cast<std::size_t>(tie.to_place)] == &place;
    });
    return tied ? 6 + 3.0 * static_cast<double>(std::min<std::size_t>(gpus, 16)) : 0;
  }

  void draw_group(const DeviceGroup& group, const GroupShape& shape, double device, double x,
                  double y, int line, PlaceGeometry& geometry, int parent) {
    if (!group.bridge.empty()) {
      const std::string bus_id = shown_bus_id(group.bridge, with_domain_);
      const double inner = shape.width - 2 * kSwitchPad;
      const bool fits = width_of("PCI " + bus_id, 10, false) <= inner;
      parent = add_box(picture_, {x, y, shape.width, shape.height}, BoxKind::kSwitch, parent);
      add_text(picture_, {x + kSwitchPad, y + shape.height - kSwitchLabel - 2, inner, 13},
               fits ? "PCI " + bus_id : bus_id, 10, parent, false, true);
      x += kSwitchPad;
      y += kSwitchPad;
    }
    const Grid gpus = {shape.columns, device, kGpuHeight, kGap};
    for (std::size_t i = 0; i < group.gpus.size(); ++i) {
      const Rect rect = gpus.cell(i, x, y);
      geometry.gpus[group.gpus[i]] = rect;
      geometry.lines[group.gpus[i]] = line;
      draw_gpu(*group.gpus[i], rect, parent);
    }
    if (!group.gpus.empty()) y += gpus.total_height(group.gpus.size()) + kGap;
    const Grid nics = {shape.columns, device, kNicHeight, kGap};
    for (std::size_t i = 0; i < group.nics.size(); ++i) {
      draw_nic(*group.nics[i], nics.cell(i, x, y), parent);
    }
  }

  void draw_gpu(const Gpu& gpu, const Rect& rect, int parent) {
    const RankList owners = owners_of(gpu, ranks_);
    const int colour = owners.size() == 1 ? colour_of(*owners.front()) : -1;
    const bool idle = owners.empty() && !ranks_.empty();
    const int box =
        add_box(picture_, rect, idle ? BoxKind::kIdleGpu : BoxKind::kGpu, parent, colour);
    picture_.boxes[static_cast<std::size_t>(box)].tooltip =
        fmt::format("GPU {} {} {}", gpu.visible_ordinal, gpu.bus_id, gpu.model);
    const double inner = rect.width - 4;
    add_text(picture_, {rect.x + 2, rect.y + 2, inner, 14},
             fmt::format("GPU {}", gpu.visible_ordinal), 11, box, true, false, true, colour);
    std::string second = gpu.is_instance() ? "instance" : "";
    if (!ranks_.empty()) second = idle ? "no rank" : fitting_rank_list(owners, inner);
    add_text(picture_, {rect.x + 2, rect.y + 17, inner, 13}, second, 10, box, false, false, true,
             colour);
    add_text(picture_, {rect.x + 2, rect.y + 31, inner, 13}, shown_bus_id(gpu.bus_id, with_domain_),
             10, box, false, false, true, colour);
  }

  void draw_nic(const Nic& nic, const Rect& rect, int parent) {
    RankList users;
    for (const RankPlacement* rank : ranks_) {
      if (std::find(rank->nics.begin(), rank->nics.end(), nic.name) != rank->nics.end())
        users.push_back(rank);
    }
    const int box =
        add_box(picture_, rect, nic.unfit.empty() ? BoxKind::kNic : BoxKind::kUnfitNic, parent);
    for (const RankPlacement* rank : users) {
      if (users.size() > kMostBars) break;
      picture_.boxes[static_cast<std::size_t>(box)].bars.push_back(colour_of(*rank));
    }
    picture_.boxes[static_cast<std::size_t>(box)].tooltip =
        fmt::format("{} {} {}", nic.name, nic.bus_id, to_string(nic.kind));
    // The bars of its ranks are at the left.
    const double x = rect.x + 6;
    const double inner = rect.width - 8;
    const bool bold = width_of(nic.name, 10, true) <= inner;
    add_text(picture_, {x, rect.y + 2, inner, 14}, nic.name, 10, box, bold, false, true);
    const std::string second = !nic.unfit.empty() ? nic.unfit
                               : !users.empty()   ? fitting_rank_list(users, inner)
                                                  : to_string(nic.kind);
    add_text(picture_, {x, rect.y + 16, inner, 13}, second, 10, box, false, false, true);
    const std::string speed = speed_of(nic);
    const bool fits = !speed.empty() && width_of(speed, 10, false) <= inner;
    add_text(picture_, {x, rect.y + 29, inner, 13},
             fits ? speed : shown_bus_id(nic.bus_id, with_domain_), 10, box, false, true, true);
  }

  const NodeParts& parts_;
  const RankList& ranks_;
  Picture& picture_;
  NodeLayout layout_;
  std::vector<int> parents_;
  bool with_domain_ = false;
};

}  // namespace

int add_box(Picture& picture, const Rect& rect, BoxKind kind, int parent, int colour) {
  picture.boxes.push_back({rect, kind, colour, parent});
  return static_cast<int>(picture.boxes.size()) - 1;
}

void add_text(Picture& picture, const Rect& bounds, const std::string& text, double size,
              int parent, bool bold, bool muted, bool centred, int on_colour) {
  const std::string shown = fitted(drawable(text), bounds.width, size, bold);
  if (shown.empty()) return;
  const double width = width_of(shown, size, bold);
  const double x = centred ? bounds.middle_x() - width / 2 : bounds.x;
  picture.texts.push_back(
      {{x, bounds.y, width, bounds.height}, shown, size, bold, muted, parent, on_colour, centred});
}

int colour_of(const RankPlacement& rank) {
  return rank.rank % kRankColourCount;
}

NodeLayout lay_out(const NodeParts& parts, const RankList& ranks, double top, Picture& picture) {
  return Drawing(parts, ranks, picture).draw(top);
}

}  // namespace muster::plan
