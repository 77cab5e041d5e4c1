// Pages that are written from the tables, so that they cannot say anything else.
#pragma once

#include <string>

namespace muster::cli {

std::string environment_page();  // docs/environment.md
std::string man_page();          // muster(1), in roff

}  // namespace muster::cli
