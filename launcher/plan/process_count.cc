#include "launcher/plan/process_count.h"

#include <set>

#include <fmt/format.h>

#include "base/text.h"

namespace muster::plan {
namespace {

using config::Backend;
using config::Origin;
using config::RunConfig;
using config::Setting;
using topology::NodeInventory;

Failure refuse(ErrorCode code, std::string message, std::string hint, const Origin& origin) {
  return Failure(Error{code, std::move(message), std::move(hint), origin.location});
}

Setting<int> derived(int value, const Origin& from, std::string text) {
  Origin origin = from;
  origin.kind = Origin::Kind::kDerived;
  origin.text = std::move(text);
  return {value, std::move(origin)};
}

Result<> check_nodes(const RunConfig& config, const PlanInputs& inputs) {
  const int count = config.node_count.value;
  if (count < 1) {
    return refuse(ErrorCode::kConfig, fmt::format("node_count is {}: a run needs a node", count),
                  "set it to 1", config.node_count.origin);
  }
  if (count > 1 && !inputs.one_node) {
    return refuse(ErrorCode::kResources,
                  fmt::format("cannot run on {} nodes: this version runs on one", count),
                  "add --one-node for all of their processes on this one, or set node_count to 1",
                  config.node_count.origin);
  }
  if (inputs.nodes.size() != 1) {
    return fail(ErrorCode::kInternal,
                fmt::format("planning for 1 node with {} inventories", inputs.nodes.size()));
  }
  return {};
}

int numa_nodes_with_cores(const NodeInventory& node) {
  std::set<int> nodes;
  for (const topology::Core& core : node.cores) nodes.insert(core.numa_node);
  return static_cast<int>(nodes.size());
}

// auto: one process per GPU, else per NUMA node.
Setting<int> resolved_per_node(const RunConfig& config, const NodeInventory& node) {
  const auto& setting = config.process_count_per_node;
  if (setting.value) return {*setting.value, setting.origin};
  const std::string automatic = fmt::format("auto ({}): ", setting.origin.text);
  if (!node.gpus.empty()) {
    const auto gpus = static_cast<int>(node.gpus.size());
    return derived(gpus, setting.origin, fmt::format("{}one per GPU, {} visible", automatic, gpus));
  }
  return derived(numa_nodes_with_cores(node), setting.origin,
                 automatic + "no GPU known, so one per NUMA node with allowed cores");
}

Result<Setting<int>> count_roles(const RunConfig& config) {
  const auto& [workers, servers] = *config.tensorflow;
  const auto& per_node = config.process_count_per_node;
  const int total = workers.value + servers.value;
  const bool given = per_node.origin.kind != Origin::Kind::kDefault;
  if (given && per_node.value != total) {
    return refuse(ErrorCode::kConfig,
                  fmt::format("process_count_per_node is {} and the tensorflow roles need {}",
                              per_node.value ? std::to_string(*per_node.value) : "auto", total),
                  "leave process_count_per_node out: the roles say how many processes there are",
                  per_node.origin);
  }
  const std::string servers_text =
      servers.value == 0 ? ""
                         : fmt::format(" and {} ({})", counted(servers.value, "parameter server"),
                                       servers.origin.text);
  return derived(total, workers.origin,
                 fmt::format("{} ({}){}", counted(workers.value, "worker"), workers.origin.text,
                             servers_text));
}

Result<> check_count(const RunConfig& config, const Setting<int>& count) {
  const auto& per_node = config.process_count_per_node;
  if (count.value < 1) {
    return refuse(ErrorCode::kConfig,
                  fmt::format("process_count_per_node is {}: a run needs a process", count.value),
                  "set it to 1 or more, or to auto", count.origin);
  }
  if (count.value == 1 || config.distributed_backend.value != Backend::kNone) return {};
  const std::string choose =
      "set distributed_backend to mpi (MPI programs) or direct (PyTorch-style, no MPI)";
  if (config.tensorflow || config.node_count.value > 1) {
    return refuse(
        ErrorCode::kConfig,
        fmt::format("the run has {} processes and distributed_backend is none", count.value),
        choose, count.origin);
  }
  return refuse(ErrorCode::kConfig,
                fmt::format("process_count_per_node is {}{} and distributed_backend is none",
                            per_node.value ? "" : "auto, here ", count.value),
                choose + ", or process_count_per_node to 1", count.origin);
}

// The processes of all nodes on this one.
Setting<int> all_here(const RunConfig& config, const Setting<int>& per_node) {
  const auto& nodes = config.node_count;
  return derived(per_node.value * nodes.value, per_node.origin,
                 fmt::format("{} ({}) for each of {} nodes ({}), all on this one: --one-node",
                             per_node.value, per_node.origin.text, nodes.value, nodes.origin.text));
}

std::string node_count_reason(const RunConfig& config) {
  const auto& nodes = config.node_count;
  if (nodes.value == 1) return nodes.origin.text;
  return fmt::format("--one-node, instead of {} ({})", nodes.value, nodes.origin.text);
}

}  // namespace

Result<ProcessCounts> count_processes(const RunConfig& config, const PlanInputs& inputs) {
  MUSTER_TRY(check_nodes(config, inputs));
  ProcessCounts counts;
  if (config.tensorflow) {
    MUSTER_TRY_ASSIGN(counts.on_node, count_roles(config));
  } else {
    counts.on_node = resolved_per_node(config, inputs.nodes.front());
    if (config.node_count.value > 1) counts.on_node = all_here(config, counts.on_node);
  }
  MUSTER_TRY(check_count(config, counts.on_node));
  counts.reasons.push_back({"node_count", "1", node_count_reason(config)});
  counts.reasons.push_back(
      {"process_count_per_node", std::to_string(counts.on_node.value), counts.on_node.origin.text});
  return counts;
}

}  // namespace muster::plan
