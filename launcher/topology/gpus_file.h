// `--gpus FILE`: the GPUs of a machine whose recorded topology has none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::topology {

// JSON: a list as "gpus" of `muster topo --format json`, or the whole of its output.  Each entry
// has index, bus_id, uuid, model, numa_node (null: unknown), any of them may be missing; without
// index they count in file order.  Errors are kResources.
Result<std::vector<Gpu>> parse_gpus(std::string_view text, const std::string& file_name);

}  // namespace muster::topology
