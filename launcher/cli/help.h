// The help texts, from the tables of commands and options.
#pragma once

#include <string>

#include "launcher/cli/commands.h"

namespace muster::cli {

std::string help_text();                           // muster --help
std::string help_text(const CommandRow& command);  // muster run --help

}  // namespace muster::cli
