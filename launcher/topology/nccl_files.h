// Which NCCL topology file speaks for this node, and what nccl.conf sets.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/topology/nccl_topology.h"
#include "launcher/topology/node_inventory.h"

namespace muster::topology {

// The settings of one nccl.conf as NCCL reads them: NAME=value lines, nothing trimmed, the first
// line of a name wins.
std::vector<NcclSetting> parse_nccl_conf(std::string_view text, const std::string& file);

// Of NCCL_CONF_FILE, else ~/.nccl.conf, then /etc/nccl.conf: what an earlier file has set stays.
std::vector<NcclSetting> nccl_settings(const std::string& root,
                                       const std::map<std::string, std::string>& environment);

struct NcclFindings {
  std::vector<NcclSetting> settings;
  std::optional<NcclTopologyFile> file;  // nullopt: there is none
  std::optional<NcclTopology> topology;  // of a file that holds
  std::vector<Note> notes;
};

// The file that NCCL will read: NCCL_TOPO_FILE of the environment or of an nccl.conf, else
// nvidia-topologyd's.  Without one, the first that holds of those that Azure's images leave in
// /opt/microsoft, those for the node's GPU model before the others.  The inventory needs its NUMA
// nodes and GPUs, with what the kernel says of their locality.
NcclFindings find_nccl_topology(const std::string& root,
                                const std::map<std::string, std::string>& environment,
                                const NodeInventory& inventory);

}  // namespace muster::topology
