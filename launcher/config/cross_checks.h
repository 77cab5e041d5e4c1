// What must hold between keys, once all of them are read.
#pragma once

#include "launcher/config/keys.h"

namespace muster::config {

void check_together(Draft& draft);

}  // namespace muster::config
