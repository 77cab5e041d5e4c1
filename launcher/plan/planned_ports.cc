// Tried with Open MPI 4.1.4 and 5.0.11: whatever interfaces they are told, mpirun, its daemons and
// its ranks listen at all addresses of a node; the words decide which of them they tell each other.
#include "launcher/plan/planned_ports.h"

#include <set>

#include "base/text.h"
#include "launcher/plan/environment_variables.h"
#include "launcher/plan/planned_network.h"

namespace muster::plan {
namespace {

constexpr const char* kAny = "any";

// What ranks find by that name, once each: "eth0, ens3"; "" where none has it.
std::string values_of_ranks(const LaunchPlan& plan, std::string_view name) {
  const std::string common = common_value(plan, name);
  if (!common.empty()) return common;
  std::vector<std::string> in_order;
  std::set<std::string> known;
  for (const auto& variables : plan.rank_environment) {
    for (const EnvironmentVariable& variable : variables) {
      if (variable.name == name && known.insert(variable.value).second) {
        in_order.push_back(variable.value);
      }
    }
  }
  constexpr std::size_t kShown = 4;
  if (in_order.size() > kShown) {
    in_order.resize(kShown);
    in_order.emplace_back("…");
  }
  return join(in_order, ", ");
}

// The value of a word of mpirun's line, or of the config's for its ranks.
std::string parameter(const LaunchPlan& plan, const std::string& name) {
  const std::string of_config = common_value(plan, "OMPI_MCA_" + name);
  if (!of_config.empty() || !plan.mpirun) return of_config;
  for (const MpirunWords& group : plan.mpirun->words) {
    for (std::size_t i = 0; i + 1 < group.words.size(); ++i) {
      if (group.words[i] == name) return group.words[i + 1];
    }
  }
  return "";
}

std::string interfaces_of_mpirun(const LaunchPlan& plan) {
  for (const char* name : {"oob_tcp_if_include", "prte_if_include"}) {
    if (const std::string value = parameter(plan, name); !value.empty()) return value;
  }
  if (!plan.mpirun) return kMeasuredAtJoin;
  return plan.network.ipv6 ? "all interfaces with IPv6" : "all interfaces";
}

std::string interfaces_of_ranks(const LaunchPlan& plan) {
  const std::string value = parameter(plan, "btl_tcp_if_include");
  if (!value.empty()) return value;
  const std::string of_ranks = values_of_ranks(plan, "OMPI_MCA_btl_tcp_if_include");
  if (!of_ranks.empty()) return of_ranks;
  return plan.mpirun ? "all interfaces" : kMeasuredAtJoin;
}

void add_open_mpis(const LaunchPlan& plan, std::vector<PlannedPort>& ports) {
  const bool several = plan.of_several_nodes();
  const bool is_5 = plan.mpirun && !plan.mpirun->version.starts_with("4");
  const std::string name = is_5 ? "prted" : "orted";
  const std::string words = "; it listens everywhere and tells of these";
  ports.push_back({"mpirun", kAny, interfaces_of_mpirun(plan),
                   several ? name + " of each node connects to it" + words
                           : "nobody connects to it on one node, and it cannot be told so"});
  if (several) {
    ports.push_back({name + " of each node", kAny, interfaces_of_mpirun(plan),
                     "mpirun and the others connect to it" + words});
  }
  const std::string lowest = parameter(plan, "btl_tcp_port_min_v4");
  ports.push_back({"each rank, by MPI_Init",
                   lowest.empty() ? "1024 to 65535, the first free one" : "from " + lowest + " on",
                   interfaces_of_ranks(plan),
                   several ? "Open MPI's btl tcp, between nodes; it listens everywhere, too"
                           : "Open MPI's btl tcp; ranks of one node meet in memory"});
}

void add_torchs(const LaunchPlan& plan, std::vector<PlannedPort>& ports) {
  const std::string address = common_value(plan, "MASTER_ADDR");
  ports.push_back({"rank 0", common_value(plan, "MASTER_PORT"),
                   "all interfaces; others look for it at " + address,
                   "torch's store, with init_process_group(): MASTER_ADDR and MASTER_PORT"});
  bool any_gpu = false;
  for (const RankPlacement& rank : plan.ranks) any_gpu = any_gpu || !rank.gpus.empty();
  if (any_gpu) {
    ports.push_back({"each rank, by NCCL", kAny, values_of_ranks(plan, "NCCL_SOCKET_IFNAME"),
                     "its start, and its traffic where there is no faster way"});
  }
  ports.push_back({"each rank, by gloo", kAny, values_of_ranks(plan, "GLOO_SOCKET_IFNAME"),
                   "torch's collectives on CPUs"});
}

}  // namespace

std::vector<PlannedPort> planned_ports(const LaunchPlan& plan) {
  std::vector<PlannedPort> ports;
  if (plan.of_several_nodes() && plan.nodes.front().node_rank == 0) {
    ports.push_back({"muster run of " + plan.nodes.front().hostname, "that of --rendezvous",
                     "all interfaces", "the other launchers connect to it, and none to them"});
  }
  if (plan.backend == config::Backend::kMpi) add_open_mpis(plan, ports);
  if (plan.world_size > 1) add_torchs(plan, ports);
  return ports;
}

}  // namespace muster::plan
