// Where everything of one node goes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/plan/picture.h"
#include "launcher/plan/picture_parts.h"

namespace muster::plan {

// A band across a row of places in which ties run: below the ranks' chips, or between lines of
// devices.  Nothing is written there.
struct Channel {
  double top = 0;
  double slot_height = 4;
  int slots = 0;

  double y_of(int slot) const { return top + 6 + slot_height * slot; }
};

// What ties need to know of a place when all has been laid out.
struct PlaceGeometry {
  int row = 0;      // its channel: places side by side share one
  double left = 0;  // of its box
  std::vector<Rect> chips;
  std::vector<bool> chip_is_last;  // nothing below it but the channel
  std::map<const topology::Gpu*, Rect> gpus;
  std::map<const topology::Gpu*, int> lines;  // of the devices: which line a GPU is in
  std::vector<double> line_tops;              // of the channels above lines 1, 2, …
};

struct NodeLayout {
  double bottom = 0;
  std::vector<PlaceGeometry> places;
  std::vector<Channel> channels;  // by row
};

// Draws below `top` into the picture; ties are left to draw_ties.
NodeLayout lay_out(const NodeParts& parts, const RankList& ranks, double top, Picture& picture);

// `lane` is the left margin in which ties between rows go up and down.
void draw_ties(const NodeParts& parts, const NodeLayout& layout, double lane, Picture& picture);

inline constexpr double kPageMargin = 24;

int add_box(Picture& picture, const Rect& rect, BoxKind kind, int parent, int colour = -1);

// Cut to what fits into `bounds`; nothing when nothing does.
void add_text(Picture& picture, const Rect& bounds, const std::string& text, double size,
              int parent, bool bold = false, bool muted = false, bool centred = false,
              int on_colour = -1);

int colour_of(const RankPlacement& rank);

}  // namespace muster::plan
