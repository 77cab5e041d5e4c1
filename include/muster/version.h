#pragma once

namespace muster {

// Semantic version of the programs and of the installed headers.
inline constexpr const char* kVersion = "0.1.0";

}  // namespace muster
