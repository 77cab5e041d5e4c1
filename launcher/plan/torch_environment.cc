// What torch.distributed, Lightning and accelerate read: torchrun's names, with rank 0 as the
// store's server, and the interfaces of NCCL and gloo.
//
// Helper scripts read or delete NCCL_SOCKET_IFNAME and NCCL_DEBUG without asking whether they are
// there, so both always are.
#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/environment_families.h"
#include "launcher/plan/nested_launcher.h"
#include "launcher/plan/planned_network.h"

namespace muster::plan {
namespace {

// Only '=' makes NCCL take a name as it is; without it eth1 also means eth10.  gloo takes no '='.
void add_interface_names(const FamilyFacts& facts, const NodePlan& node, Variables& variables) {
  const bool exact = facts.plan.of_several_nodes() && node.interface != kMeasuredAtJoin;
  facts.defaults.add_to(variables, "NCCL_SOCKET_IFNAME", (exact ? "=" : "") + node.interface);
  facts.defaults.add_to(variables, "GLOO_SOCKET_IFNAME", node.interface);
  // Open MPI's lists of networks know IPv4 alone, and names differ: docs/cluster.md.
  if (facts.plan.network.ipv6 && facts.plan.backend == config::Backend::kMpi) {
    facts.defaults.add_to(variables, "OMPI_MCA_btl_tcp_if_include", node.interface);
  }
}

}  // namespace

void add_torch_names(const FamilyFacts& facts, Variables& variables) {
  const LaunchPlan& plan = facts.plan;
  add(variables, "WORLD_SIZE", std::to_string(plan.world_size));
  if (facts.all.equal_counts) {
    add(variables, "LOCAL_WORLD_SIZE", std::to_string(plan.nodes.front().rank_count));
  }
  add(variables, "GROUP_WORLD_SIZE", std::to_string(plan.node_count));
  add(variables, "ROLE_NAME", "default");
  add(variables, "ROLE_WORLD_SIZE", std::to_string(plan.world_size));
  add(variables, "MASTER_ADDR", plan.network.master_address);
  add(variables, "MASTER_PORT", "");
  add(variables, "TORCHELASTIC_RUN_ID", "");
  add(variables, "TORCHELASTIC_RESTART_COUNT", "0");
  add(variables, "TORCHELASTIC_MAX_RESTARTS", "0");
  add(variables, "TORCHELASTIC_USE_AGENT_STORE", "False");  // rank 0 is the store's server
  if (joins_by_variables(find_nested_launch(plan.argv))) {
    add(variables, "PET_NNODES", std::to_string(plan.world_size));
    add(variables, "PET_MASTER_ADDR", "");
    add(variables, "PET_MASTER_PORT", "");
  }
  if (facts.all.equal_interfaces) add_interface_names(facts, plan.nodes.front(), variables);
  // NCCL and gloo find the address of an interface themselves, and NCCL prefers IPv4.
  if (plan.network.ipv6) facts.defaults.add_to(variables, "NCCL_SOCKET_FAMILY", "AF_INET6");
  facts.defaults.add_to(variables, "NCCL_DEBUG", "WARN");
  // As torchrun does.  The older name without TORCH_ makes every newer torch warn.
  facts.defaults.add_to(variables, "TORCH_NCCL_ASYNC_ERROR_HANDLING", "1");
}

void add_torch_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables) {
  add(variables, "RANK", std::to_string(rank.rank));
  add(variables, "LOCAL_RANK", std::to_string(rank.local_rank));
  if (!facts.all.equal_counts) {
    const NodePlan& node = facts.plan.node(rank.node_rank);
    add(variables, "LOCAL_WORLD_SIZE", std::to_string(node.rank_count));
  }
  if (!facts.all.equal_interfaces) {
    add_interface_names(facts, facts.plan.node(rank.node_rank), variables);
  }
  add(variables, "NODE_RANK", std::to_string(rank.node_rank));
  add(variables, "GROUP_RANK", std::to_string(rank.node_rank));
  add(variables, "ROLE_RANK", std::to_string(rank.rank));
  if (joins_by_variables(find_nested_launch(facts.plan.argv))) {
    add(variables, "PET_NODE_RANK", std::to_string(rank.rank));
  }
}

void fill_torch_names(const StartValues& start, LaunchPlan& plan) {
  set_own(plan, "TORCHELASTIC_RUN_ID", start.run_id);
  set_own(plan, "MASTER_PORT", start.master_port);
  set_own(plan, "PET_MASTER_ADDR", common_value(plan, "MASTER_ADDR"));
  set_own(plan, "PET_MASTER_PORT", common_value(plan, "MASTER_PORT"));
}

void explain_nested_launch(LaunchPlan& plan) {
  const NestedLaunch nested = find_nested_launch(plan.argv);
  if (joins_by_variables(nested)) {
    plan.reasons.push_back({"nested launcher", nested.name,
                            "each rank is one of its " + counted(plan.world_size, "node") +
                                ": PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR, PET_MASTER_PORT"});
  }
  if (plan.world_size == 1 || nested.joins_others) return;
  if (nested.launcher == NestedLauncher::kTorchrun && !nested.names_endpoint) {
    plan.warnings.push_back(fmt::format(
        "each of the {} ranks starts a world of its own, all on the same port with older torch "
        "(1.13 among them), where only one of them can have it: leave out --standalone or "
        "--nnodes 1 for one world of all ranks, or add --rdzv_backend=c10d "
        "--rdzv_endpoint=localhost:0",
        plan.world_size));
  }
  if (nested.launcher == NestedLauncher::kDeepspeed) {
    plan.warnings.push_back(
        fmt::format("each of the {} ranks starts a world of its own, because deepspeed reads none "
                    "from its environment: give it --no_ssh, --node_rank and a host file, as in "
                    "docs/rank-environment.md, or let the ranks run the script itself",
                    plan.world_size));
  }
}

}  // namespace muster::plan
