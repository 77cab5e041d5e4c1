// Renders an Error for a person.
#pragma once

#include <span>
#include <string>

#include "muster/result.h"

namespace muster {

// "muster: error: …", then the location with its source line and a caret, then the hint; each line
// ends in a newline.
//
//   muster: error: unknown key "proces_count_per_node"
//     run.yaml:3:1: proces_count_per_node: 4
//                   ^
//     hint: did you mean "process_count_per_node"?
std::string format_error(const Error& error, const std::string& program = "muster");

}  // namespace muster
