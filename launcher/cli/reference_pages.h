// Pages that are written from the tables, so that they cannot say anything else.
#pragma once

#include <string>

namespace muster::cli {

std::string environment_page();  // docs/environment.md

}  // namespace muster::cli
