#include "launcher/plan/process_count.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/free_parts.h"

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
  if (inputs.part) {
    if (inputs.nodes.size() == 1) return {};
    return fail(ErrorCode::kInternal, fmt::format("planning for one of several nodes with {} "
                                                  "inventories",
                                                  inputs.nodes.size()));
  }
  const int count = config.node_count.value;
  if (count < 1) {
    return refuse(ErrorCode::kConfig, fmt::format("node_count is {}: a run needs a node", count),
                  "set it to 1", config.node_count.origin);
  }
  const bool all_known = inputs.nodes.size() == static_cast<std::size_t>(count);
  if (count > 1 && !inputs.one_node && !all_known) {
    return refuse(
        ErrorCode::kResources, fmt::format("cannot run on {} nodes: only this one is known", count),
        "start muster run on each of them, under a scheduler or with --nodes, --node-rank "
        "and --rendezvous; --one-node puts all of their processes on this one; muster "
        "plan --topology FILE plans for several such nodes",
        config.node_count.origin);
  }
  if (!all_known && inputs.nodes.size() != 1) {
    return fail(ErrorCode::kInternal, fmt::format("planning for {} with {} inventories",
                                                  counted(count, "node"), inputs.nodes.size()));
  }
  if (config.tensorflow && inputs.nodes.size() > 1) {
    return refuse(ErrorCode::kResources,
                  fmt::format("cannot plan tensorflow roles on {} nodes: this version has them on "
                              "one",
                              count),
                  "add --one-node for all of their processes on one, or set node_count to 1",
                  config.node_count.origin);
  }
  return {};
}

int numa_nodes_with_cores(const NodeInventory& node) {
  std::set<int> nodes;
  for (const topology::Core& core : node.cores) nodes.insert(core.numa_node);
  return static_cast<int>(nodes.size());
}

// auto: one process for gpus_per_process GPUs, else per NUMA node.
Setting<int> resolved_per_node(const RunConfig& config, const NodeInventory& node,
                               const std::vector<HeldByRun>& held) {
  const auto& setting = config.process_count_per_node;
  if (setting.value) return {*setting.value, setting.origin};
  const std::string automatic = fmt::format("auto ({}): ", setting.origin.text);
  const auto& per_process = config.resources.gpus_per_process;
  if (node.gpus.empty() || per_process.value.value_or(1) == 0) {
    return derived(numa_nodes_with_cores(node), setting.origin,
                   automatic + (node.gpus.empty() ? "no GPU known" : "gpus_per_process is 0") +
                       ", so one per NUMA node with allowed cores");
  }
  const auto visible = static_cast<int>(node.gpus.size());
  const auto unheld = static_cast<int>(unheld_gpus(node, held).size());
  const int gpus = unheld > 0 ? unheld : visible;
  std::string seen = fmt::format("{} visible", visible);
  if (gpus < visible) seen += fmt::format(", {} held by other runs", visible - gpus);
  const int size = per_process.value.value_or(1);
  const std::string per =
      size == 1 ? "GPU" : fmt::format("{} GPUs ({})", size, per_process.origin.text);
  return derived(std::max(1, gpus / size), setting.origin,
                 fmt::format("{}one per {}, {}", automatic, per, seen));
}

// As the head counted; it knows why.
Setting<int> told(const NodePart& part, Setting<int> own) {
  if (own.value == part.rank_count) return own;
  return derived(part.rank_count, own.origin, "as the head of the run counts");
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

Result<> check_count(const RunConfig& config, const Setting<int>& count, bool one_node) {
  const auto& per_node = config.process_count_per_node;
  if (count.value < 1) {
    return refuse(ErrorCode::kConfig,
                  fmt::format("process_count_per_node is {}: a run needs a process", count.value),
                  "set it to 1 or more, or to auto", count.origin);
  }
  const bool alone = count.value == 1 && (config.node_count.value == 1 || one_node);
  if (alone || config.distributed_backend.value != Backend::kNone) return {};
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

std::string node_count_reason(const RunConfig& config, int planned) {
  const auto& nodes = config.node_count;
  if (nodes.value == planned || planned > 1) return nodes.origin.text;
  return fmt::format("--one-node, instead of {} ({})", nodes.value, nodes.origin.text);
}

// One for all nodes that are alike, in their order.
void add_count_reasons(const PlanInputs& inputs, ProcessCounts& counts) {
  std::vector<std::pair<const Setting<int>*, std::vector<std::size_t>>> kinds;
  for (std::size_t i = 0; i < counts.by_node.size(); ++i) {
    const Setting<int>& count = counts.by_node[i];
    const auto same = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) {
      return kind.first->value == count.value && kind.first->origin.text == count.origin.text;
    });
    if (same == kinds.end()) {
      kinds.push_back({&count, {i}});
    } else {
      same->second.push_back(i);
    }
  }
  for (const auto& [count, nodes] : kinds) {
    std::string subject = "process_count_per_node";
    if (kinds.size() > 1) {
      subject += " on " + inputs.nodes[nodes.front()].hostname;
      if (nodes.size() > 1) subject += fmt::format(" and {} more", nodes.size() - 1);
    }
    counts.reasons.push_back(
        {std::move(subject), std::to_string(count->value), count->origin.text});
  }
}

}  // namespace

Result<ProcessCounts> count_processes(const RunConfig& config, const PlanInputs& inputs) {
  MUSTER_TRY(check_nodes(config, inputs));
  ProcessCounts counts;
  counts.node_count = static_cast<int>(inputs.nodes.size());
  if (inputs.part) {
    counts.node_count = inputs.part->node_count;
    counts.by_node.push_back(
        told(*inputs.part, resolved_per_node(config, inputs.nodes.front(), {})));
  } else if (config.tensorflow) {
    MUSTER_TRY_ASSIGN(Setting<int> roles, count_roles(config));
    counts.by_node.push_back(std::move(roles));
  } else {
    for (std::size_t i = 0; i < inputs.nodes.size(); ++i) {
      counts.by_node.push_back(resolved_per_node(config, inputs.nodes[i],
                                                 i == 0 ? inputs.held : std::vector<HeldByRun>{}));
    }
    if (counts.node_count == 1 && config.node_count.value > 1) {
      counts.by_node.front() = all_here(config, counts.by_node.front());
    }
  }
  for (const Setting<int>& count : counts.by_node) {
    MUSTER_TRY(check_count(config, count, inputs.one_node));
  }
  counts.reasons.push_back({"node_count", std::to_string(counts.node_count),
                            node_count_reason(config, counts.node_count)});
  add_count_reasons(inputs, counts);
  return counts;
}

}  // namespace muster::plan
