// Whether every ${{inputs.NAME}} and ${{outputs.NAME}} of a config has something to stand for.
#pragma once

#include "launcher/config/keys.h"

namespace muster::config {

// Adds the problems, each at its place inside the text.
void check_references(Draft& draft);

}  // namespace muster::config
