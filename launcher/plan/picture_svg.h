// A picture as SVG: `muster plan --format svg`, `muster topo --format svg`.
#pragma once

#include <string>

#include "launcher/plan/picture.h"

namespace muster::plan {

// kAuto: as the reader's browser or desktop wants it.
enum class Theme { kAuto, kLight, kDark };

// A whole SVG document, without scripts, fonts or links; ends in a newline.
std::string picture_svg(const Picture& picture, Theme theme = Theme::kAuto);

}  // namespace muster::plan
