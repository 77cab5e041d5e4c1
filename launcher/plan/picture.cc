// A page: the title, the score and the reason, every kind of node, and the legend.
#include "launcher/plan/picture.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/picture_layout.h"
#include "launcher/plan/picture_words.h"
#include "launcher/plan/placement_words.h"

namespace muster::plan {
namespace {

using topology::NodeInventory;

constexpr double kWide = 1000;
constexpr double kNarrow = 600;
constexpr std::size_t kMostKinds = 16;  // on one page

std::string hardware_of(const NodeInventory& node) {
  std::string text = fmt::format(
      "{}, {}, {}, {}",
      node.package_count == 0 ? "packages unknown" : counted(node.package_count, "package"),
      counted(static_cast<std::int64_t>(node.numa_nodes.size()), "NUMA node"),
      counted(static_cast<std::int64_t>(node.cores.size()), "core"),
      counted(node.allowed.count(), "hardware thread"));
  std::vector<std::string> models;
  for (const topology::Gpu& gpu : node.gpus) {
    if (std::find(models.begin(), models.end(), gpu.model) == models.end())
      models.push_back(gpu.model);
  }
  for (const std::string& model : models) {
    const auto count = std::count_if(node.gpus.begin(), node.gpus.end(),
                                     [&](const auto& gpu) { return gpu.model == model; });
    text += fmt::format(", {} × {}", count, model.empty() ? "GPU" : model);
  }
  return text;
}

bool is_small(const NodeInventory& node) {
  return node.numa_nodes.size() <= 1 && node.cores.size() <= 24 && node.gpus.size() <= 4 &&
         node.nics.size() <= 4;
}

double text_block(Picture& picture, double y, const std::string& text, int most) {
  for (const std::string& line :
       wrapped(drawable(text), picture.width - 2 * kPageMargin, 12, most)) {
    add_text(picture, {kPageMargin, y, picture.width - 2 * kPageMargin, 15}, line, 12, 0, false,
             true);
    y += 17;
  }
  return y;
}

double node_on_page(const NodeInventory& node, const RankList& ranks, double y, Picture& picture) {
  const NodeParts parts = parts_of(node, ranks);
  if (!parts.left_out.empty()) {
    std::vector<int> known;
    for (const int index : parts.left_out) {
      if (index >= 0) known.push_back(index);
    }
    y = text_block(
        picture, y,
        "without CPUs and devices, not drawn: NUMA nodes " + CpuSet::from_vector(known).to_string(),
        1);
  }
  const NodeLayout layout = lay_out(parts, ranks, y + 4, picture);
  draw_ties(parts, layout, 5, picture);
  return layout.bottom + 6;
}

// What stands for what: of the boxes and ties that the picture has.
struct LegendEntry {
  bool is_tie = false;
  BoxKind box = BoxKind::kCore;
  TieKind tie = TieKind::kNear;
  int colour = -1;
  int threads = 1;
  std::string text;
};

std::vector<LegendEntry> legend_of(const Picture& picture) {
  std::set<BoxKind> kinds;
  std::set<TieKind> ties;
  int threads = 1;
  for (const Box& box : picture.boxes) {
    kinds.insert(box.kind);
    threads = std::max(threads, box.threads);
  }
  for (const Tie& tie : picture.ties) ties.insert(tie.kind);
  std::vector<LegendEntry> entries;
  const auto box = [&](BoxKind kind, const std::string& text, int colour = -1) {
    if (kinds.contains(kind)) entries.push_back({false, kind, TieKind::kNear, colour, 1, text});
  };
  const auto tie = [&](TieKind kind, const std::string& text) {
    if (ties.contains(kind)) entries.push_back({true, BoxKind::kCore, kind, 0, 1, text});
  };
  box(BoxKind::kCore, "core of the rank with this number and colour", 0);
  box(BoxKind::kSharedCore, "core that several ranks have");
  box(BoxKind::kUnusedCore, "core without a rank");
  box(BoxKind::kForbiddenCore, "core that we may not use");
  if (threads > 1) {
    const BoxKind kind = kinds.contains(BoxKind::kCore)         ? BoxKind::kCore
                         : kinds.contains(BoxKind::kSharedCore) ? BoxKind::kSharedCore
                                                                : BoxKind::kUnusedCore;
    entries.push_back({false, kind, TieKind::kNear, kind == BoxKind::kCore ? 0 : -1, threads,
                       fmt::format("a core's {} hardware threads", threads)});
  }
  tie(TieKind::kNear, "GPU of a rank whose cores are on its NUMA node");
  tie(TieKind::kRemote, "far: cores and GPU are on different NUMA nodes");
  tie(TieKind::kUnknown, "where the GPU is, nobody could tell");
  box(BoxKind::kIdleGpu, "GPU that no rank has");
  box(BoxKind::kNic, "NIC");
  box(BoxKind::kUnfitNic, "NIC that ranks are not given");
  box(BoxKind::kSwitch, "PCI bridge that these share");
  return entries;
}

double legend_on_page(double y, Picture& picture) {
  constexpr double kSwatch = 26;
  constexpr double kLine = 22;
  double x = kPageMargin;
  for (const LegendEntry& entry : legend_of(picture)) {
    const double width = kSwatch + 6 + width_of(entry.text, 11, false);
    if (x > kPageMargin && x + width > picture.width - kPageMargin) {
      x = kPageMargin;
      y += kLine;
    }
    if (entry.is_tie) {
      picture.ties.push_back({{{x, y + 8}, {x + kSwatch, y + 8}}, entry.tie, entry.colour});
    } else {
      const int box = add_box(picture, {x, y, kSwatch, 16}, entry.box, 0, entry.colour);
      picture.boxes[static_cast<std::size_t>(box)].threads = entry.threads;
    }
    add_text(picture, {x + kSwatch + 6, y + 1, width - kSwatch - 6 + 0.01, 14}, entry.text, 11, 0);
    x += width + 22;
  }
  return y + kLine;
}

Picture new_page(const std::string& title, bool small) {
  Picture picture;
  picture.title = drawable(title);
  picture.width = small ? kNarrow : kWide;
  add_box(picture, {0, 0, picture.width, 0}, BoxKind::kPage, -1);
  return picture;
}

double heading(Picture& picture, double y, const std::string& text) {
  add_text(picture, {kPageMargin, y, picture.width - 2 * kPageMargin, 22}, text, 17, 0, true);
  return y + 27;
}

void close_page(double y, Picture& picture) {
  picture.height = y + 10;
  picture.boxes.front().rect.height = picture.height;
}

bool are_alike(const NodeInventory& a, const NodeInventory& b) {
  NodeInventory other = b;
  other.hostname = a.hostname;
  other.source = a.source;
  other.notes = a.notes;
  if (a.gpus.size() != b.gpus.size()) return false;
  for (std::size_t i = 0; i < a.gpus.size(); ++i) {
    other.gpus[i].uuid = a.gpus[i].uuid;
    other.gpus[i].parent_uuid = a.gpus[i].parent_uuid;
    other.gpus[i].processes = a.gpus[i].processes;
  }
  return other.cores == a.cores && other.numa_nodes.size() == a.numa_nodes.size() &&
         other.gpus == a.gpus && other.nics == a.nics && other.allowed == a.allowed &&
         other.present == a.present;
}

// What the plan says about why a node is placed so.
std::string reason_for(const LaunchPlan& plan, const NodePlan& node) {
  std::string text;
  for (const Reason& reason : plan.reasons) {
    if (!reason.subject.starts_with("placement on " + node.hostname)) continue;
    text +=
        (text.empty() ? "" : "; ") + reason.value + (reason.value.empty() ? "" : ": ") + reason.why;
  }
  return text;
}

std::string score_line(const NodePlan& node) {
  if (node.layout.empty()) return "";
  std::string text = "layout " + node.layout;
  if (node.score != PlacementScore{}) text += ", " + score_in_words(node.score);
  return text;
}

}  // namespace

Picture picture_of(const LaunchPlan& plan, const std::vector<NodeInventory>& nodes) {
  const auto inventory_of = [&](const NodePlan& node) -> const NodeInventory& {
    return nodes[std::min(static_cast<std::size_t>(node.node_rank), nodes.size() - 1)];
  };
  const std::vector<AlikeNodes> kinds =
      alike_nodes(plan, [&](const NodePlan& a, const NodePlan& b) {
        return are_alike(inventory_of(a), inventory_of(b));
      });
  const std::string title = fmt::format(
      "{} on {}", counted(plan.world_size, "rank"),
      plan.nodes.size() == 1 ? plan.nodes.front().hostname
                             : counted(static_cast<std::int64_t>(plan.nodes.size()), "node"));
  Picture picture =
      new_page(title, std::all_of(kinds.begin(), kinds.end(), [&](const AlikeNodes& kind) {
                 return is_small(inventory_of(*kind.nodes.front()));
               }));
  double y = heading(picture, 16, title);
  for (std::size_t i = 0; i < kinds.size() && i < kMostKinds; ++i) {
    const AlikeNodes& kind = kinds[i];
    const NodePlan& node = *kind.nodes.front();
    if (plan.nodes.size() > 1) {
      y = heading(picture, y + 6,
                  kind.nodes.size() == 1
                      ? node.hostname
                      : fmt::format("{} × {}", kind.nodes.size(), node.hostname));
      if (kind.nodes.size() > 1) {
        y = text_block(picture, y, "drawn once; placed alike: " + others_in_words(kind), 2);
      }
    }
    y = text_block(picture, y, hardware_of(inventory_of(node)), 2);
    y = text_block(picture, y, score_line(node), 2);
    y = text_block(picture, y, reason_for(plan, node), 3);
    y = node_on_page(inventory_of(node), kind.ranks.front(), y, picture);
  }
  if (kinds.size() > kMostKinds) {
    y = text_block(picture, y,
                   counted(static_cast<std::int64_t>(kinds.size() - kMostKinds), "kind") +
                       " of nodes more: see --format text",
                   1);
  }
  close_page(legend_on_page(y + 4, picture), picture);
  return picture;
}

Picture picture_of(const NodeInventory& node) {
  Picture picture = new_page(node.hostname, is_small(node));
  double y = heading(picture, 16, node.hostname);
  y = text_block(picture, y, hardware_of(node) + " (" + node.source + ")", 2);
  y = node_on_page(node, {}, y, picture);
  close_page(legend_on_page(y + 4, picture), picture);
  return picture;
}

}  // namespace muster::plan
