#include "launcher/plan/planned_network.h"

#include <fmt/format.h>

#include "base/text.h"

namespace muster::plan {
namespace {

void use_part(const NodePart& part, LaunchPlan& plan) {
  plan.network.master_address = part.master_address;
  plan.network.ipv6 = part.socket_family == "AF_INET6";
  plan.network.addresses = part.node_addresses;
  plan.network.core_counts = part.node_cores;
  plan.network.rank_counts = part.node_rank_counts;
  plan.nodes.front().address = part.own_address;
  plan.nodes.front().interface = part.interface;
}

Result<> use_choice(const cluster::NetworkChoice& choice, LaunchPlan& plan) {
  if (choice.nodes.size() != plan.nodes.size()) {
    return fail(ErrorCode::kInternal,
                fmt::format("planning for {} with addresses of {}",
                            counted(static_cast<std::int64_t>(plan.nodes.size()), "node"),
                            choice.nodes.size()));
  }
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    plan.nodes[i].address = choice.nodes[i].address;
    plan.nodes[i].interface = choice.nodes[i].interface;
  }
  plan.network.ipv6 = choice.ipv6;
  plan.network.cidrs = choice.cidrs;
  for (const auto& [subject, why] : choice.reasons) plan.reasons.push_back({subject, "", why});
  return {};
}

void list_nodes(const PlanInputs& inputs, LaunchPlan& plan) {
  if (plan.node_count > kMostNodesListed) return;
  for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
    plan.network.addresses.push_back(plan.nodes[i].address);
    plan.network.core_counts.push_back(static_cast<int>(inputs.nodes[i].cores.size()));
    plan.network.rank_counts.push_back(plan.nodes[i].rank_count);
  }
}

}  // namespace

Result<> plan_network(const PlanInputs& inputs, LaunchPlan& plan) {
  if (inputs.part) {
    use_part(*inputs.part, plan);
    return {};
  }
  if (plan.of_several_nodes()) {
    if (inputs.network) {
      MUSTER_TRY(use_choice(*inputs.network, plan));
    } else {
      for (NodePlan& node : plan.nodes) node.address = node.interface = kMeasuredAtJoin;
    }
    plan.network.master_address = plan.nodes.front().address;
  }
  list_nodes(inputs, plan);
  return {};
}

std::string with_port(const std::string& address, const std::string& port) {
  const bool is_ipv6 = address.find(':') != address.npos;
  return (is_ipv6 ? "[" + address + "]" : address) + ":" + port;
}

}  // namespace muster::plan
