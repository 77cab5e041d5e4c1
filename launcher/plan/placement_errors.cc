#include "launcher/plan/placement_errors.h"

#include <fmt/format.h>

namespace muster::plan {

std::string processes(int count) {
  return fmt::format("{} {}", count, count == 1 ? "process" : "processes");
}

Failure cannot_place(const topology::NodeInventory& inventory, int ranks, const std::string& why,
                     std::string hint, const config::Origin& origin) {
  return Failure(
      Error{ErrorCode::kResources,
            fmt::format("cannot place {} on {}: {}", processes(ranks), inventory.hostname, why),
            std::move(hint), origin.location});
}

}  // namespace muster::plan
