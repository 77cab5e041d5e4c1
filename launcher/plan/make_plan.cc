// The decisions in their order: how many processes, on which cores, started how, seeing what.
//
// Each one leaves a Reason with the origin of its value, so that the plan can be read without the
// config beside it.
#include "launcher/plan/make_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/driver_banner.h"
#include "launcher/plan/environment_names.h"
#include "launcher/plan/mpirun_command.h"
#include "launcher/plan/node_placements.h"
#include "launcher/plan/planned_network.h"
#include "launcher/plan/process_count.h"
#include "launcher/plan/rank_environment.h"
#include "launcher/plan/rankfile.h"
#include "launcher/plan/references.h"
#include "launcher/plan/run_command.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::plan {
namespace {

using config::Backend;
using config::Origin;
using config::RunConfig;
using config::Setting;
using topology::NodeInventory;

constexpr std::int64_t kBoundWithCollector = std::int64_t{8} << 30;
constexpr auto kFirstProcessBudget = std::chrono::seconds(10);

Failure refuse(ErrorCode code, std::string message, std::string hint, const Origin& origin) {
  return Failure(Error{code, std::move(message), std::move(hint), origin.location});
}

// "1", "2 to 3": of the ranks of all nodes.
std::string gpus_of_ranks(const LaunchPlan& plan) {
  std::size_t fewest = plan.ranks.front().gpus.size();
  std::size_t most = 0;
  for (const RankPlacement& rank : plan.ranks) {
    fewest = std::min(fewest, rank.gpus.size());
    most = std::max(most, rank.gpus.size());
  }
  return fewest == most ? std::to_string(most) : fmt::format("{} to {}", fewest, most);
}

void explain_resources(const RunConfig& config, const std::vector<NodeInventory>& nodes,
                       LaunchPlan& plan) {
  const auto& gpus = config.resources.gpus_per_process;
  std::size_t visible = 0;
  std::size_t allowed = 0;
  for (const NodeInventory& node : nodes) {
    visible += node.gpus.size();
    allowed += node.cores.size();
  }
  const std::string found =
      visible == 0
          ? "no GPU is visible"
          : fmt::format("{} visible for {}", counted(static_cast<std::int64_t>(visible), "GPU"),
                        counted(plan.world_size, "rank"));
  plan.reasons.push_back(
      {"gpus_per_process", gpus_of_ranks(plan),
       gpus.value ? gpus.origin.text : fmt::format("auto ({}): {}", gpus.origin.text, found)});
  const auto& cores = config.resources.cores_per_process;
  const bool fixed = cores.value.has_value();
  plan.reasons.push_back(
      {"cores_per_process", fixed ? std::to_string(*cores.value) : "auto",
       fixed ? cores.origin.text
             : fmt::format("{}: all {}", cores.origin.text,
                           counted(static_cast<std::int64_t>(allowed), "allowed core"))});
  if (const auto& lease = config.resources.lease; !lease.value) {
    plan.reasons.push_back(
        {"lease", "false",
         lease.origin.text + ": what other runs of the node have is not avoided"});
  }
}

// What the reader of another dialect had to say: warnings, and what is not done or not known.
void explain_dialect(const RunConfig& config, LaunchPlan& plan) {
  if (config.dialect.empty()) return;
  plan.reasons.push_back({"dialect of the config", config.dialect, config.dialect_reason});
  for (const config::Remark& remark : config.remarks) {
    if (remark.kind == config::Remark::Kind::kWarning) {
      plan.warnings.push_back(remark.origin.text + ": " + remark.text);
      continue;
    }
    const bool ignored = remark.kind == config::Remark::Kind::kIgnored;
    const std::size_t colon = std::min(remark.text.find(": "), remark.text.size());
    const std::string why = colon == remark.text.size() ? "" : ": " + remark.text.substr(colon + 2);
    plan.reasons.push_back({ignored ? "not known" : "not done here", remark.text.substr(0, colon),
                            remark.origin.text + (ignored ? "" : why)});
  }
}

Result<> check_cores_per_process(const RunConfig& config) {
  const auto& cores = config.resources.cores_per_process;
  if (!cores.value || *cores.value >= 1) return {};
  return refuse(ErrorCode::kConfig,
                fmt::format("cores_per_process is {}: a rank needs a core", *cores.value),
                "set it to 1 or more, or to auto", cores.origin);
}

// mpirun's words name the address at which the nodes meet.
void postpone_mpirun(LaunchPlan& plan) {
  plan.reasons.push_back({"mpirun", "formed when the nodes have met",
                          "its words name the addresses at which they do"});
}

// Parameters that the config sets win over the words; the caller's do not reach mpirun.
std::set<std::string> parameters_said(const RunConfig& config) {
  std::set<std::string> said;
  for (const auto& [name, setting] : config.environment_variables) {
    if (is_mpi_setting(name)) said.insert(name.substr(name.find("_MCA_") + 5));
  }
  return said;
}

void add_nodes(const RunConfig& config, const PlanInputs& inputs, const LaunchPlan& plan,
               MpirunFacts& facts) {
  facts.node_count = plan.node_count;
  facts.hostfile = hostfile_text(plan);
  facts.cidrs = plan.network.cidrs;
  facts.ipv6 = plan.network.ipv6;
  std::set<std::string> names;
  for (const NodePlan& node : plan.nodes) names.insert(node.interface);
  facts.interfaces.assign(names.begin(), names.end());
  facts.rdma = std::any_of(inputs.nodes.begin(), inputs.nodes.end(), [](const auto& node) {
    return std::any_of(node.nics.begin(), node.nics.end(),
                       [](const topology::Nic& nic) { return nic.is_rdma(); });
  });
  facts.shared_host = inputs.network && inputs.network->shared_host;
  facts.said = parameters_said(config);
}

Result<> plan_mpirun(const RunConfig& config, const PlanInputs& inputs, LaunchPlan& plan) {
  if (!inputs.mpirun) {
    return refuse(
        ErrorCode::kResources, "distributed_backend is mpi and no mpirun was found",
        "install Open MPI 4.x or 5.x or put its mpirun on PATH, or set distributed_backend "
        "to direct",
        config.distributed_backend.origin);
  }
  const auto cores = static_cast<int>(inputs.nodes.front().cores.size());
  MpirunFacts facts;
  if (plan.of_several_nodes()) add_nodes(config, inputs, plan, facts);
  facts.rank_count = plan.world_size;
  facts.slots = std::min(plan.world_size, cores);
  facts.oversubscribed = plan.oversubscribed;
  facts.running_as_root = inputs.running_as_root;
  facts.longest_grace =
      std::max(config.limits.stop_grace_period.value, config.limits.failure_grace_period.value);
  facts.agent_executable = inputs.agent_executable;
  const auto& binder = config.resources.binding.value;
  facts.nobody_binds = binder == config::Binder::kNone;
  if (binder == config::Binder::kRankfile) {
    MUSTER_TRY_ASSIGN(facts.rankfile, rankfile_text(plan, inputs.nodes, config.resources));
  }
  MUSTER_TRY_ASSIGN(plan.mpirun, mpirun_command(*inputs.mpirun, facts));
  plan.reasons.push_back(
      {"mpirun", inputs.mpirun->executable, "Open MPI " + inputs.mpirun->version});
  return {};
}

void explain_limits(const config::Limits& limits, LaunchPlan& plan) {
  const auto add = [&](const char* name, const auto& setting) {
    plan.reasons.push_back({name, format_duration(setting.value), setting.origin.text});
  };
  const auto& duration = limits.max_run_duration;
  plan.reasons.push_back({"max_run_duration_seconds",
                          duration.value ? std::to_string(duration.value->count()) : "no limit",
                          duration.origin.text});
  add("join_timeout", limits.join_timeout);
  if (plan.of_several_nodes()) add("node_lost_after", limits.node_lost_after);
  add("stop_grace_period", limits.stop_grace_period);
  add("failure_grace_period", limits.failure_grace_period);
  add("drain_timeout", limits.drain_timeout);
  const auto& budget = limits.stop_budget;
  plan.reasons.push_back({"stop_budget", budget.value ? format_duration(*budget.value) : "no limit",
                          budget.origin.text});
}

// Container runtimes end their first process with SIGKILL after a notice that they do not tell.
void resolve_stop_budget(const PlanInputs& inputs, config::Limits& limits) {
  auto& budget = limits.stop_budget;
  if (budget.origin.kind != Origin::Kind::kDefault || !inputs.is_first_process) return;
  budget.value = kFirstProcessBudget;
  budget.origin.kind = Origin::Kind::kDerived;
  budget.origin.text = "derived: PID 1, and `docker stop` and `podman stop` kill after 10 s";
}

// A collector that stays away must not fill the disk.
void resolve_streams(config::Streams& streams) {
  auto& bound = streams.max_size;
  if (bound.origin.kind != Origin::Kind::kDefault || !streams.collector.value) return;
  bound.value = kBoundWithCollector;
  bound.origin.kind = Origin::Kind::kDerived;
  bound.origin.text = "derived: there is a collector";
}

// Said where something of it was asked for: a run without a collector and a bound has neither.
void explain_streams(const config::Streams& streams, LaunchPlan& plan) {
  if (streams.collector.value) {
    plan.reasons.push_back({"collector", *streams.collector.value, streams.collector.origin.text});
  }
  const auto& bound = streams.max_size;
  if (bound.origin.kind != Origin::Kind::kDefault) {
    plan.reasons.push_back(
        {"max_size of streams",
         bound.value ? format_bytes(static_cast<std::uint64_t>(*bound.value)) : "no bound",
         bound.origin.text});
  }
  if (bound.value || streams.when_full.origin.kind != Origin::Kind::kDefault) {
    const bool blocks = streams.when_full.value == config::WhenFull::kBlock;
    plan.reasons.push_back(
        {"when_full",
         blocks ? "block, for " + format_duration(streams.stall_budget.value) : "drop_oldest",
         streams.when_full.origin.text});
  }
}

}  // namespace

Result<LaunchPlan> make_plan(const RunConfig& as_written, const PlanInputs& inputs,
                             const StartValues& start) {
  MUSTER_TRY_ASSIGN(const ProcessCounts counts, count_processes(as_written, inputs));
  LaunchPlan plan;
  MUSTER_TRY_ASSIGN(plan.data, plan_data(as_written, inputs.datastores, inputs.data));
  set_data_places(plan.data, start.data_directory, start.run_directory);
  MUSTER_TRY_ASSIGN(const RunConfig config,
                    with_references(as_written, reference_values(as_written, plan.data)));
  MUSTER_TRY(check_cores_per_process(config));
  MUSTER_TRY_ASSIGN(const PlacementNotes notes, place_nodes(config, inputs, counts, plan));

  plan.backend = config.distributed_backend.value;
  plan.asked_node_count = counts.node_count == 1 ? config.node_count.value : 1;
  plan.limits = config.limits;
  plan.metric_patterns = config.metric_patterns;
  resolve_stop_budget(inputs, plan.limits);
  plan.streams = config.streams;
  resolve_streams(plan.streams);
  plan.reasons = counts.reasons;
  explain_dialect(config, plan);
  plan.reasons.push_back({"distributed_backend", config::to_string(plan.backend),
                          config.distributed_backend.origin.text});
  explain_resources(config, inputs.nodes, plan);
  plan.reasons.insert(plan.reasons.end(), notes.reasons.begin(), notes.reasons.end());
  plan.warnings.insert(plan.warnings.end(), notes.warnings.begin(), notes.warnings.end());
  MUSTER_TRY(plan_network(inputs, plan));
  MUSTER_TRY(assign_roles(config, plan));
  MUSTER_TRY(choose_binder(config, inputs.nodes, plan));
  choose_argv(config, plan);
  plan.driver_sentences = driver_sentences_of(config.dialect);
  choose_working_directory(config, inputs.current_directory, plan);
  if (!plan.in_place && inputs.source) {
    MUSTER_TRY_ASSIGN(plan.source, plan_source(config, plan.source_directory, *inputs.source));
    explain_source(*plan.source, plan.reasons);
  }
  if (plan.backend == Backend::kMpi) {
    if (plan.of_several_nodes() && !inputs.network && !inputs.part) {
      postpone_mpirun(plan);
    } else {
      MUSTER_TRY(plan_mpirun(config, inputs, plan));
    }
  }
  plan.warnings.insert(plan.warnings.end(), plan.data.warnings.begin(), plan.data.warnings.end());
  MUSTER_TRY(plan_environment(config, inputs, start, plan));
  if (inputs.python_sources) {
    MUSTER_TRY_ASSIGN(plan.python, plan_python(config, *inputs.python_sources));
    use_python_environment(config, inputs.caller_environment, plan);
  }
  if (inputs.python && !plan.python.needed() && !take_python3(config, *inputs.python, plan)) {
    explain_python(*inputs.python, plan);
  }
  check_container(config, inputs.container, plan);
  explain_limits(plan.limits, plan);
  explain_streams(plan.streams, plan);
  plan.reasons.insert(plan.reasons.end(), inputs.command_line.begin(), inputs.command_line.end());
  if (!plan.in_place && !start.working_directory.empty()) {
    plan.working_directory = start.working_directory;
  }
  return plan;
}

}  // namespace muster::plan
