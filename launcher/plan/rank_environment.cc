// All families of names that training programs look at, together and consistent.
//
// Three kinds of value: what Muster says (identity, addresses; a config that sets an address wins),
// defaults that give way to the caller and the config alike (threads, buffering, NCCL), and what
// the config sets.  OMPI_* and PMIX_* are never invented here: they come from mpirun, or an MPI
// program would start as many separate worlds.
#include "launcher/plan/rank_environment.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/environment_names.h"
#include "launcher/plan/nested_launcher.h"

namespace muster::plan {
namespace {

using Variables = std::vector<EnvironmentVariable>;

constexpr const char* kMuster = "muster";
constexpr const char* kLoopback = "127.0.0.1";  // one node: nothing leaves it

// A pointer to const or not, as the variables are.
template <typename AnyVariables>
auto* find(AnyVariables& variables, std::string_view name) {
  const auto found = std::find_if(variables.begin(), variables.end(),
                                  [&](const auto& variable) { return variable.name == name; });
  return found == variables.end() ? nullptr : &*found;
}

void add(Variables& variables, std::string name, std::string value, std::string origin = kMuster) {
  if (EnvironmentVariable* there = find(variables, name)) {
    *there = {std::move(name), std::move(value), std::move(origin)};
  } else {
    variables.push_back({std::move(name), std::move(value), std::move(origin)});
  }
}

const config::Setting<std::string>* set_by_config(const config::RunConfig& config,
                                                  const std::string& name) {
  for (const auto& [key, setting] : config.environment_variables) {
    if (key == name) return &setting;
  }
  return nullptr;
}

Result<> refuse_identity(const config::RunConfig& config) {
  for (const auto& [name, setting] : config.environment_variables) {
    if (!is_identity(name)) continue;
    return Failure(Error{ErrorCode::kConfig,
                         "cannot set " + name + " to \"" + setting.value +
                             "\" for every rank: it tells each rank who it is",
                         "remove it; Muster sets it for each rank", setting.origin.location});
  }
  return {};
}

// A default gives way to the caller's environment and the config's.
class Defaults {
 public:
  Defaults(const config::RunConfig& config, const PlanInputs& inputs)
      : config_(config), inputs_(inputs) {}

  bool is_wanted(const std::string& name) const {
    const bool inherited =
        inputs_.caller_environment.contains(name) && !is_dropped_from_ranks(name);
    return !inherited && set_by_config(config_, name) == nullptr;
  }
  void add_to(Variables& variables, const std::string& name, std::string value) const {
    if (is_wanted(name)) add(variables, name, std::move(value), "muster, default");
  }

 private:
  const config::RunConfig& config_;
  const PlanInputs& inputs_;
};

int ranks_on_node(const LaunchPlan& plan, int node_rank) {
  return static_cast<int>(
      std::count_if(plan.ranks.begin(), plan.ranks.end(),
                    [&](const RankPlacement& rank) { return rank.node_rank == node_rank; }));
}

// Whole cores of the rank, at least 1, and no more than its part of the cgroup's CPU time.
int thread_count(const LaunchPlan& plan, const RankPlacement& rank, const PlanInputs& inputs) {
  const auto& node = inputs.nodes[static_cast<std::size_t>(rank.node_rank)];
  int threads = std::max(1, rank.core_count);
  if (node.cpu_quota) {
    const double part = *node.cpu_quota / ranks_on_node(plan, rank.node_rank);
    threads = std::min(threads, std::max(1, static_cast<int>(std::floor(part))));
  }
  return threads;
}

// A torchrun that a rank starts is one of as many nodes as there are ranks, if it is told so.
bool joins_by_variables(const NestedLaunch& nested) {
  const bool takes_variables = nested.launcher == NestedLauncher::kTorchrun ||
                               nested.launcher == NestedLauncher::kAccelerate;
  return takes_variables && nested.joins_others;
}

Variables common_variables(const LaunchPlan& plan, const Defaults& defaults,
                           const StartValues& start) {
  Variables variables;
  add(variables, "MUSTER_RUN_ID", start.run_id);
  add(variables, "WORLD_SIZE", std::to_string(plan.world_size));
  add(variables, "LOCAL_WORLD_SIZE", std::to_string(plan.process_count_per_node));
  add(variables, "GROUP_WORLD_SIZE", std::to_string(plan.nodes.size()));
  add(variables, "ROLE_NAME", "default");
  add(variables, "ROLE_WORLD_SIZE", std::to_string(plan.world_size));
  add(variables, "MASTER_ADDR", kLoopback);
  add(variables, "MASTER_PORT", start.master_port);
  add(variables, "TORCHELASTIC_RUN_ID", start.run_id);
  add(variables, "TORCHELASTIC_RESTART_COUNT", "0");
  add(variables, "TORCHELASTIC_MAX_RESTARTS", "0");
  add(variables, "TORCHELASTIC_USE_AGENT_STORE", "False");  // rank 0 is the store's server
  if (joins_by_variables(find_nested_launch(plan.argv))) {
    add(variables, "PET_NNODES", std::to_string(plan.world_size));
    add(variables, "PET_MASTER_ADDR", "");  // from MASTER_ADDR and MASTER_PORT, below
    add(variables, "PET_MASTER_PORT", "");
  }
  add(variables, "AZUREML_RUN_ID", start.run_id);
  add(variables, "AZ_BATCH_MASTER_NODE", "");  // from MASTER_ADDR and MASTER_PORT, below
  add(variables, "AZ_BATCH_HOST_LIST", kLoopback);
  add(variables, "AZ_BATCH_NODE_LIST", kLoopback);
  add(variables, "AZ_BATCHAI_MPI_MASTER_NODE", "localhost");
  add(variables, "AZ_BATCHAI_JOB_MASTER_NODE_IP", kLoopback);
  defaults.add_to(variables, "NCCL_SOCKET_IFNAME", "lo");
  defaults.add_to(variables, "GLOO_SOCKET_IFNAME", "lo");
  defaults.add_to(variables, "NCCL_DEBUG", "WARN");
  // As torchrun does.  The older name without TORCH_ makes every newer torch warn.
  defaults.add_to(variables, "TORCH_NCCL_ASYNC_ERROR_HANDLING", "1");
  defaults.add_to(variables, "PYTHONUNBUFFERED", "1");
  return variables;
}

Variables variables_of_rank(const LaunchPlan& plan, const RankPlacement& rank,
                            const PlanInputs& inputs, const Defaults& defaults) {
  const auto& node = inputs.nodes[static_cast<std::size_t>(rank.node_rank)];
  Variables variables;
  add(variables, "RANK", std::to_string(rank.rank));
  add(variables, "LOCAL_RANK", std::to_string(rank.local_rank));
  add(variables, "NODE_RANK", std::to_string(rank.node_rank));
  add(variables, "GROUP_RANK", std::to_string(rank.node_rank));
  add(variables, "ROLE_RANK", std::to_string(rank.rank));
  if (joins_by_variables(find_nested_launch(plan.argv))) {
    add(variables, "PET_NODE_RANK", std::to_string(rank.rank));
  }
  add(variables, "AZUREML_CR_NODE_RANK", std::to_string(rank.node_rank));
  add(variables, "AZUREML_PROCESS_NAME", "rank_" + std::to_string(rank.rank));
  add(variables, "AZ_BATCH_IS_CURRENT_NODE_MASTER", rank.node_rank == 0 ? "true" : "false");
  add(variables, "AZ_BATCHAI_TASK_INDEX", std::to_string(rank.rank));
  add(variables, "AZ_BATCHAI_NUM_GPUS", std::to_string(node.gpus.size()));
  defaults.add_to(variables, "OMP_NUM_THREADS", std::to_string(thread_count(plan, rank, inputs)));
  return variables;
}

// Inputs before outputs: where both have a name, the older variables are the input's.
void add_data_variables(LaunchPlan& plan) {
  for (const DataItem& item : plan.data.items) {
    for (const std::string& name : item.variables) {
      if (find(plan.common_environment, name) == nullptr) {
        add(plan.common_environment, name, item.value);
      }
    }
  }
}

// The config's variables replace ours where they are, so that each name stands once.
void add_config_variables(const config::RunConfig& config, LaunchPlan& plan) {
  for (const auto& [name, setting] : config.environment_variables) {
    add(plan.common_environment, name, setting.value, setting.origin.text);
    for (Variables& variables : plan.rank_environment) {
      std::erase_if(variables, [&, wanted = name](const auto& own) { return own.name == wanted; });
    }
  }
}

// Follows MASTER_ADDR and MASTER_PORT, whoever set them.
// What the config has set stays.
void set_own(LaunchPlan& plan, const char* name, const std::string& value) {
  EnvironmentVariable* variable = find(plan.common_environment, name);
  if (variable != nullptr && variable->origin == kMuster) variable->value = value;
}

// Other names for the address and the port, which the config or the start may have set.
void repeat_master(LaunchPlan& plan) {
  const EnvironmentVariable* address = find(plan.common_environment, "MASTER_ADDR");
  const EnvironmentVariable* port = find(plan.common_environment, "MASTER_PORT");
  if (address == nullptr || port == nullptr) return;
  set_own(plan, "AZ_BATCH_MASTER_NODE", address->value + ":" + port->value);
  set_own(plan, "PET_MASTER_ADDR", address->value);
  set_own(plan, "PET_MASTER_PORT", port->value);
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

void explain_threads(const config::RunConfig& config, const PlanInputs& inputs, LaunchPlan& plan) {
  const std::string name = "OMP_NUM_THREADS";
  if (const auto* setting = set_by_config(config, name)) {
    plan.reasons.push_back({name, setting->value, setting->origin.text});
    return;
  }
  if (const auto caller = inputs.caller_environment.find(name);
      caller != inputs.caller_environment.end()) {
    plan.reasons.push_back({name, caller->second, "the caller's environment"});
    return;
  }
  int fewest = std::numeric_limits<int>::max();
  int most = 0;
  bool capped = false;
  for (const RankPlacement& rank : plan.ranks) {
    const int threads = thread_count(plan, rank, inputs);
    fewest = std::min(fewest, threads);
    most = std::max(most, threads);
    capped = capped || threads < rank.core_count;
  }
  std::string why = plan.oversubscribed ? "more ranks than cores" : "whole cores of each rank";
  if (capped) {
    why =
        fmt::format("the cgroup grants {:.2f} CPUs of time to {}", *inputs.nodes.front().cpu_quota,
                    counted(static_cast<std::int64_t>(plan.ranks.size()), "rank"));
  }
  const std::string range = fewest < most ? std::to_string(fewest) + " to " : "";
  plan.reasons.push_back({name, range + std::to_string(most), why});
}

// What mpirun knows of its installation it tells the ranks itself.
bool inherited_by_ranks(const PlanInputs& inputs, std::string_view name) {
  return !is_dropped_from_ranks(name) && (!inputs.mpirun || !is_installation(name));
}

bool inherited_by_mpirun(const PlanInputs& inputs, std::string_view name) {
  return reaches_mpirun(inputs.caller_environment, name,
                        inputs.mpirun ? inputs.mpirun->executable : "");
}

using Inherits = bool (*)(const PlanInputs&, std::string_view);

Environment kept(const PlanInputs& inputs, Inherits inherits) {
  Environment environment;
  for (const auto& [name, value] : inputs.caller_environment) {
    if (inherits(inputs, name)) environment.emplace(name, value);
  }
  return environment;
}

std::vector<std::string> dropped(const PlanInputs& inputs, Inherits inherits) {
  std::vector<std::string> names;
  for (const auto& [name, value] : inputs.caller_environment) {
    if (!inherits(inputs, name)) names.push_back(name);
  }
  return names;
}

}  // namespace

Result<> plan_environment(const config::RunConfig& config, const PlanInputs& inputs,
                          const StartValues& start, LaunchPlan& plan) {
  MUSTER_TRY(refuse_identity(config));
  const Defaults defaults(config, inputs);
  plan.common_environment = common_variables(plan, defaults, start);
  plan.rank_environment.clear();
  for (const RankPlacement& rank : plan.ranks) {
    plan.rank_environment.push_back(variables_of_rank(plan, rank, inputs, defaults));
  }
  add_data_variables(plan);
  add_config_variables(config, plan);
  repeat_master(plan);
  explain_threads(config, inputs, plan);
  explain_nested_launch(plan);
  plan.dropped_from_ranks = dropped(inputs, inherited_by_ranks);
  if (plan.mpirun) plan.dropped_from_mpirun = dropped(inputs, inherited_by_mpirun);
  return {};
}

void set_start_values(LaunchPlan& plan, const StartValues& start) {
  for (const char* name : {"MUSTER_RUN_ID", "TORCHELASTIC_RUN_ID", "AZUREML_RUN_ID"}) {
    set_own(plan, name, start.run_id);
  }
  set_own(plan, "MASTER_PORT", start.master_port);
  set_data_places(plan.data, start.data_directory, start.run_directory);
  for (const DataItem& item : plan.data.items) {
    for (const std::string& name : item.variables) set_own(plan, name.c_str(), item.value);
  }
  repeat_master(plan);
  if (!plan.in_place && !start.working_directory.empty()) {
    plan.working_directory = start.working_directory;
  }
}

Environment inherited_environment(const PlanInputs& inputs) {
  return kept(inputs, inherited_by_ranks);
}

void add_planned_variables(const LaunchPlan& plan, int rank, Environment& environment) {
  for (const EnvironmentVariable& variable : plan.common_environment) {
    environment.insert_or_assign(variable.name, variable.value);
  }
  for (const auto& variable : plan.rank_environment[static_cast<std::size_t>(rank)]) {
    environment.insert_or_assign(variable.name, variable.value);
  }
}

Environment complete_rank_environment(const LaunchPlan& plan, const PlanInputs& inputs, int rank) {
  Environment environment = inherited_environment(inputs);
  add_planned_variables(plan, rank, environment);
  return environment;
}

Environment mpirun_environment(const LaunchPlan& plan, const PlanInputs& inputs) {
  Environment environment = kept(inputs, inherited_by_mpirun);
  if (plan.mpirun) {
    for (const EnvironmentVariable& variable : plan.mpirun->environment) {
      environment.try_emplace(variable.name, variable.value);
    }
  }
  for (const EnvironmentVariable& variable : plan.common_environment) {
    if (is_mpi_setting(variable.name)) {
      environment.insert_or_assign(variable.name, variable.value);
    }
  }
  return environment;
}

}  // namespace muster::plan
