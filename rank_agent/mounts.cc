#include "rank_agent/mounts.h"

namespace muster::agent {

std::string find_missing_mount(const protocol::RankSpec& spec, const std::vector<Mount>& table) {
  for (const protocol::SeenMount& wanted : spec.mounts()) {
    const auto mount = mount_at(table, wanted.path());
    if (!mount) return wanted.name() + " is not mounted at " + wanted.path() + " where it runs";
    if (wanted.read_only() && !mount->read_only) {
      return wanted.name() + " at " + wanted.path() + " can be written to where it runs";
    }
  }
  return "";
}

}  // namespace muster::agent
