// The colours of ranks: as far apart as 16 can be, also for eyes that lack one kind of cones.
#pragma once

#include <array>
#include <string_view>

namespace muster::plan {

inline constexpr int kRankColourCount = 16;

// "#d79b20"; ranks from 16 on begin again.  The same in light and dark pictures; none is near the
// red of remote ties or the greys of cores without a rank.
const std::array<std::string_view, kRankColourCount>& rank_colours();

// Whether black can be read on it better than white.
bool wants_dark_text(int colour);

}  // namespace muster::plan
