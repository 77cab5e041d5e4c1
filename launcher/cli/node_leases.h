// Who holds what of this node, for `muster topo`.
#pragma once

#include <string>
#include <vector>

#include "launcher/exec/leases.h"

namespace muster::cli {

// Empty where nobody holds anything, or leases cannot be read: what is wrong with them, a start
// says.
std::vector<exec::LeaseRecord> leases_of_node();

std::string leases_text(const std::vector<exec::LeaseRecord>& leases);

// `topology` is topology_json's; with one member more.
std::string with_leases_json(const std::string& topology,
                             const std::vector<exec::LeaseRecord>& leases);

}  // namespace muster::cli
