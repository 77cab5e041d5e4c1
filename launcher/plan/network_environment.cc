// Which network devices NCCL and UCX use.
//
// NCCL gets all usable RDMA ports of the node, because it picks the nearest for each of its
// channels and its detours through other GPUs need the others; UCX gets the nearest of each rank.
// Whoever set one of these names before, in the config, the environment or nccl.conf, is left
// alone, and told when a device that it names is not there.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/environment_families.h"

namespace muster::plan {
namespace {

using topology::LinkState;
using topology::Nic;
using topology::NicKind;
using topology::NodeInventory;

constexpr const char* kHca = "NCCL_IB_HCA";
constexpr const char* kTopology = "NCCL_TOPO_FILE";
constexpr const char* kIgnoreAffinity = "NCCL_IGNORE_CPU_AFFINITY";
constexpr const char* kUcx = "UCX_NET_DEVICES";

// What NCCL's own network code and UCX can drive; EFA comes with a plugin that finds its devices.
bool is_verbs(const Nic& nic) {
  return nic.is_rdma() && (nic.kind == NicKind::kInfiniBand || nic.kind == NicKind::kRoce);
}

bool is_usable(const Nic& nic) {
  return is_verbs(nic) && nic.unfit.empty();
}

std::string port_name(const Nic& nic) {
  return nic.name + ":" + std::to_string(nic.port);
}

// "mlx5_0:1,mlx5_1:1" of all usable ports; of those of these names alone, where there are names.
std::string port_list(const NodeInventory& node, const std::vector<std::string>* names = nullptr) {
  std::vector<std::string> ports;
  for (const Nic& nic : node.nics) {
    const bool wanted =
        names == nullptr || std::find(names->begin(), names->end(), nic.name) != names->end();
    if (wanted && is_usable(nic)) ports.push_back(port_name(nic));
  }
  return join(ports, ",");
}

// Only '=' makes NCCL take names as they are; without it mlx5_1 also means mlx5_10.
std::string exactly(const std::string& ports) {
  return ports.empty() ? "" : "=" + ports;
}

// Who says what a variable is, other than Muster.
struct Said {
  std::string value;
  std::string origin;
};

std::optional<Said> said_elsewhere(const FamilyFacts& facts, const NodeInventory& node,
                                   const std::string& name) {
  if (const auto* setting = set_by_config(facts.config, name)) {
    return Said{setting->value, setting->origin.text};
  }
  const auto& caller = facts.inputs.caller_environment;
  if (const auto found = caller.find(name); found != caller.end()) {
    return Said{found->second, "the caller's environment"};
  }
  for (const topology::NcclSetting& setting : node.nccl_settings) {
    if (setting.name == name) return Said{setting.value, setting.file};
  }
  return std::nullopt;
}

// What all nodes have in common; "" when they differ.
template <typename OfNode>
std::string common_to_nodes(const FamilyFacts& facts, OfNode of_node) {
  const auto& nodes = facts.inputs.nodes;
  const std::string first = of_node(nodes.front());
  const bool same = std::all_of(nodes.begin(), nodes.end(),
                                [&](const NodeInventory& node) { return of_node(node) == first; });
  return same ? first : "";
}

std::string hca_of_node(const FamilyFacts& facts, const NodeInventory& node) {
  if (said_elsewhere(facts, node, kHca)) return "";
  return exactly(port_list(node));
}

// A file that NCCL would not find by itself.
std::string topology_of_node(const FamilyFacts& facts, const NodeInventory& node) {
  if (!node.nccl_file || !node.nccl_file->used || node.nccl_file->found_by_nccl) return "";
  return said_elsewhere(facts, node, kTopology) ? "" : node.nccl_file->path;
}

bool own_devices_alone(const FamilyFacts& facts) {
  return facts.config.resources.nic_visibility.value == config::NicVisibility::kOwn;
}

std::string left_out(const NodeInventory& node) {
  std::vector<std::string> ports;
  for (const Nic& nic : node.nics) {
    if (is_verbs(nic) && !nic.unfit.empty()) {
      ports.push_back(port_name(nic) + " (" + nic.unfit + ")");
    }
  }
  return ports.empty() ? "" : "; left out: " + join(ports, ", ");
}

struct WantedPort {
  std::string name;
  int port = 0;  // 0: any
};

WantedPort wanted_port(std::string_view text) {
  const std::size_t colon = text.find(':');
  WantedPort wanted{std::string(text.substr(0, colon))};
  if (colon != text.npos) {
    wanted.port = static_cast<int>(parse_integer(text.substr(colon + 1)).value_or(0));
  }
  return wanted;
}

// Words of a list that no device, or none that is up, answers to.
void check_ports(const Said& said, const char* variable, std::string_view list, bool whole_names,
                 const NodeInventory& node, LaunchPlan& plan) {
  std::vector<std::string> known;
  for (const Nic& nic : node.nics) {
    if (nic.is_rdma()) known.push_back(port_name(nic));
  }
  for (const std::string& word : split(list, ',')) {
    const WantedPort wanted = wanted_port(word);
    if (wanted.name.empty()) continue;
    bool there = false;
    bool up = false;
    for (const Nic& nic : node.nics) {
      const bool named = whole_names ? nic.name == wanted.name : nic.name.starts_with(wanted.name);
      // UCX takes Ethernet interfaces, too.
      if (!named || (wanted.port != 0 && nic.port != wanted.port)) continue;
      there = true;
      up = up || nic.state != LinkState::kDown;
    }
    if (up) continue;
    const std::string what =
        there ? "is down" : "is not there: it has " + (known.empty() ? "none" : join(known, ", "));
    plan.warnings.push_back(fmt::format("{}={} ({}) names {}, which on {} {}", variable, said.value,
                                        said.origin, word, node.hostname, what));
  }
}

void check_hca(const Said& said, const NodeInventory& node, LaunchPlan& plan) {
  std::string_view list = said.value;
  if (list.starts_with('^')) return;  // what is left out need not be there
  const bool whole_names = list.starts_with('=');
  if (whole_names) list.remove_prefix(1);
  check_ports(said, kHca, list, whole_names, node, plan);
}

void check_ucx(const Said& said, const NodeInventory& node, LaunchPlan& plan) {
  // "all", negations and interfaces without hardware are UCX's own business.
  std::vector<std::string> devices;
  for (const std::string& word : split(said.value, ',')) {
    if (word.find(':') != word.npos && !word.starts_with('^')) devices.push_back(word);
  }
  check_ports(said, kUcx, join(devices, ","), true, node, plan);
}

void explain_hca(const FamilyFacts& facts, LaunchPlan& plan) {
  for (const NodeInventory& node : facts.inputs.nodes) {
    if (const auto said = said_elsewhere(facts, node, kHca)) {
      plan.reasons.push_back({kHca, said->value, said->origin});
      check_hca(*said, node, plan);
      return;
    }
    const std::string ports = port_list(node);
    if (ports.empty()) continue;
    const bool own = own_devices_alone(facts);
    plan.reasons.push_back(
        {kHca, own ? "the nearest of each rank" : exactly(ports),
         (own ? facts.config.resources.nic_visibility.origin.text
              : "all usable RDMA ports of " + node.hostname + ", by their exact names") +
             left_out(node)});
    return;
  }
}

void explain_topology(const FamilyFacts& facts, LaunchPlan& plan) {
  for (const NodeInventory& node : facts.inputs.nodes) {
    if (const std::string file = topology_of_node(facts, node); !file.empty()) {
      plan.reasons.push_back({kTopology, file,
                              node.nccl_file->named_by + "; it holds on " + node.hostname +
                                  ", and NCCL would not look there"});
      return;
    }
  }
}

void explain_ucx(const FamilyFacts& facts, LaunchPlan& plan) {
  for (const NodeInventory& node : facts.inputs.nodes) {
    if (const auto said = said_elsewhere(facts, node, kUcx)) {
      plan.reasons.push_back({kUcx, said->value, said->origin});
      check_ucx(*said, node, plan);
      return;
    }
  }
  const bool any =
      std::any_of(plan.rank_environment.begin(), plan.rank_environment.end(),
                  [](const Variables& variables) { return is_there(variables, kUcx); });
  if (any) plan.reasons.push_back({kUcx, "the nearest of each rank", "RDMA ports near its GPUs"});
}

// NCCL's own threads then leave the rank's cores for those near the GPU, which are other ranks'.
void check_ignored_affinity(const FamilyFacts& facts, LaunchPlan& plan) {
  std::vector<std::string> ranks;
  std::string origin;
  for (const RankPlacement& rank : facts.plan.ranks) {
    const NodeInventory& node = facts.node_of(rank);
    const auto said = said_elsewhere(facts, node, kIgnoreAffinity);
    if (!said || said->value == "0" || said->value.empty() || !rank.bound) continue;
    for (const topology::Gpu& gpu : rank.gpus) {
      const auto home = std::find_if(
          node.numa_nodes.begin(), node.numa_nodes.end(),
          [&](const topology::NumaNode& numa) { return numa.os_index == gpu.numa_node; });
      if (home == node.numa_nodes.end() || home->present_cpus.empty()) continue;
      if (!rank.cpuset.intersection(home->present_cpus).empty()) continue;
      origin = said->origin;
      ranks.push_back(std::to_string(rank.rank));
      break;
    }
  }
  if (ranks.empty()) return;
  plan.warnings.push_back(fmt::format(
      "{} is set ({}), and the cores of {} {} are not near the GPU: NCCL's threads will run "
      "outside "
      "of them, on cores near the GPU, and training does not; unset it",
      kIgnoreAffinity, origin, ranks.size() == 1 ? "rank" : "ranks", join(ranks, ", ")));
}

}  // namespace

void add_network_names(const FamilyFacts& facts, Variables& variables) {
  if (!facts.all.any_rank_has_gpus) return;
  const auto add_common = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts.defaults.add_to(variables, name, value);
  };
  add_common(kTopology, common_to_nodes(facts, [&](const NodeInventory& node) {
               return topology_of_node(facts, node);
             }));
  if (own_devices_alone(facts)) return;
  add_common(kHca, common_to_nodes(
                       facts, [&](const NodeInventory& node) { return hca_of_node(facts, node); }));
}

void add_network_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables) {
  const NodeInventory& node = facts.node_of(rank);
  const auto add_own = [&](const char* name, const std::string& value) {
    if (!value.empty()) facts.defaults.add_to(variables, name, value);
  };
  const std::string nearest = rank.nics.empty() ? "" : port_list(node, &rank.nics);
  if (facts.all.any_rank_has_gpus) {
    const auto& common = facts.plan.common_environment;
    if (!is_there(common, kTopology)) add_own(kTopology, topology_of_node(facts, node));
    if (own_devices_alone(facts)) {
      if (!said_elsewhere(facts, node, kHca)) add_own(kHca, exactly(nearest));
    } else if (!is_there(common, kHca)) {
      add_own(kHca, hca_of_node(facts, node));
    }
  }
  add_own(kUcx, nearest);
}

void explain_network(const FamilyFacts& facts, LaunchPlan& plan) {
  if (facts.all.any_rank_has_gpus) {
    explain_hca(facts, plan);
    explain_topology(facts, plan);
    check_ignored_affinity(facts, plan);
  }
  explain_ucx(facts, plan);
}

}  // namespace muster::plan
