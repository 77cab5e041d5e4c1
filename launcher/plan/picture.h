// A picture of a node and of who runs where on it, as data: boxes, texts and ties with their
// places, which picture_svg writes down and tests measure.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

struct Point {
  double x = 0;
  double y = 0;
};

struct Rect {
  double x = 0;
  double y = 0;
  double width = 0;
  double height = 0;

  double right() const { return x + width; }
  double bottom() const { return y + height; }
  double middle_x() const { return x + width / 2; }
  double middle_y() const { return y + height / 2; }
};

enum class BoxKind {
  kPage,
  kPackage,
  kNumaNode,
  kUnknownPlace,  // of devices, or cores, whose NUMA node nobody could tell
  kCore,          // of a rank
  kSharedCore,    // of several ranks
  kUnusedCore,
  kForbiddenCore,  // by the cpuset or the affinity mask
  kRank,           // a rank's part of a NUMA node
  kRemoteRank,     // the same where none of its GPUs is
  kGpu,            // of a rank
  kIdleGpu,
  kNic,
  kUnfitNic,
  kSwitch,  // a PCI bridge with several devices below it
};

struct Box {
  Rect rect;
  BoxKind kind = BoxKind::kPage;
  int colour = -1;  // of a rank: index into rank_colours(); -1: none
  int parent = -1;  // index of the box around it
  int threads = 1;  // of a core: how many subdivisions it shows
  std::string tooltip = {};
  std::vector<int> bars = {};  // of a NIC: the colours of its ranks
};

struct Text {
  Rect bounds;  // conservative: no common font is wider
  std::string text;
  double size = 11;
  bool bold = false;
  bool muted = false;
  int parent = -1;       // index of the box it is in
  int on_colour = -1;    // the rank colour it stands on; -1: none
  bool centred = false;  // in its bounds
};

enum class TieKind { kNear, kRemote, kUnknown };

// From a rank's part of a NUMA node to a GPU of it: corners of a line.
struct Tie {
  std::vector<Point> points;
  TieKind kind = TieKind::kNear;
  int colour = -1;
};

struct Picture {
  std::string title;
  double width = 0;
  double height = 0;
  std::vector<Box> boxes;  // a box comes after the one around it
  std::vector<Text> texts;
  std::vector<Tie> ties;
};

// Nodes of one kind are drawn once, with their count.  `nodes` are those that were planned for, by
// node rank.
Picture picture_of(const LaunchPlan& plan, const std::vector<topology::NodeInventory>& nodes);

// What a node has, without ranks.
Picture picture_of(const topology::NodeInventory& node);

}  // namespace muster::plan
