#include "launcher/plan/placement_errors.h"

#include <fmt/format.h>

namespace muster::plan {

std::string processes(int count) {
  return fmt::format("{} {}", count, count == 1 ? "process" : "processes");
}

std::string set_processes(const PlacementRequest& request, int count) {
  // Derived: all of --one-node, or TensorFlow's roles, which are not a node's processes in words.
  if (request.process_count.origin.kind == config::Origin::Kind::kDerived) {
    return fmt::format("start {} in all", processes(count));
  }
  return fmt::format("set process_count_per_node to {}", count);
}

Failure cannot_place(const topology::NodeInventory& inventory, int ranks, const std::string& why,
                     std::string hint, const config::Origin& origin) {
  return Failure(
      Error{ErrorCode::kResources,
            fmt::format("cannot place {} on {}: {}", processes(ranks), inventory.hostname, why),
            std::move(hint), origin.location});
}

}  // namespace muster::plan
