// The help texts: one screen each.
#pragma once

#include <string>

namespace muster::cli {

std::string help_text();                            // muster --help
std::string help_text(const std::string& command);  // muster run --help

}  // namespace muster::cli
