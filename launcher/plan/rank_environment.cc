// Puts the families together: what the caller has without stale identity, what Muster says, and
// what the config sets, each name once.
//
// Three kinds of value: what Muster says (identity, addresses; a config that sets an address wins),
// defaults that give way to the caller and the config alike (threads, buffering, NCCL), and what
// the config sets.  OMPI_* and PMIX_* are never invented here, unless the config asks for it: they
// come from mpirun, or an MPI program would start as many separate worlds.
#include "launcher/plan/rank_environment.h"

#include <algorithm>

#include "launcher/plan/environment_families.h"
#include "launcher/plan/environment_names.h"
#include "launcher/plan/environment_variables.h"
#include "launcher/plan/python_path.h"
#include "launcher/plan/references.h"
#include "launcher/plan/run_command.h"

namespace muster::plan {
namespace {

// TensorFlow's says who a process is, too; but one process alone may be told so by its config.
Result<> refuse_identity(const config::RunConfig& config, int world_size) {
  for (const auto& [name, setting] : config.environment_variables) {
    if (!is_identity(name) && (name != "TF_CONFIG" || world_size == 1)) continue;
    return Failure(Error{ErrorCode::kConfig,
                         "cannot set " + name + " to \"" + setting.value +
                             "\" for every rank: it tells each rank who it is",
                         name == "TF_CONFIG" ? "remove it, and set tensorflow.worker_count and "
                                               "tensorflow.parameter_server_count instead"
                                             : "remove it; Muster sets it for each rank",
                         setting.origin.location});
  }
  return {};
}

Variables common_variables(const FamilyFacts& facts) {
  Variables variables;
  add(variables, "MUSTER_RUN_ID", "");
  add_torch_names(facts, variables);
  add_azureml_names(facts, variables);
  add_batch_names(facts, variables);
  add_tensorflow_names(facts, variables);
  add_data_names(facts, variables);
  add_network_names(facts, variables);
  facts.defaults.add_to(variables, "PYTHONUNBUFFERED", "1");
  return variables;
}

Variables variables_of_rank(const FamilyFacts& facts, const RankPlacement& rank) {
  Variables variables;
  add_torch_names(facts, rank, variables);
  add_emulated_mpi_names(facts, rank, variables);
  add_azureml_names(facts, rank, variables);
  add_batch_names(facts, rank, variables);
  add_tensorflow_names(facts, rank, variables);
  add_thread_names(facts, rank, variables);
  add_gpu_names(facts, rank, variables);
  add_network_names(facts, rank, variables);
  return variables;
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

void fill_start_values(const StartValues& start, LaunchPlan& plan) {
  set_own(plan, "MUSTER_RUN_ID", start.run_id);
  fill_torch_names(start, plan);  // first: others repeat its address and port
  fill_azureml_names(start, plan);
  fill_batch_names(start, plan);
  fill_tensorflow_names(start, plan);
  fill_data_names(start, plan);
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
  MUSTER_TRY(refuse_identity(config, plan.world_size));
  const Defaults defaults(config, inputs);
  const FamilyFacts facts{config, inputs, plan, defaults};
  plan.common_environment = common_variables(facts);
  plan.rank_environment.clear();
  for (const RankPlacement& rank : plan.ranks) {
    plan.rank_environment.push_back(variables_of_rank(facts, rank));
  }
  add_config_variables(config, plan);
  fill_start_values(start, plan);
  explain_threads(facts, plan);
  explain_gpus(facts, plan);
  explain_network(facts, plan);
  explain_nested_launch(plan);
  plan.dropped_from_ranks = dropped(inputs, inherited_by_ranks);
  if (plan.mpirun) plan.dropped_from_mpirun = dropped(inputs, inherited_by_mpirun);
  return {};
}

void set_start_values(LaunchPlan& plan, const config::RunConfig& as_written,
                      const StartValues& start) {
  set_data_places(plan.data, start.data_directory, start.run_directory);
  // It succeeded when the plan was made.
  if (const auto config = with_references(as_written, reference_values(as_written, plan.data))) {
    std::vector<std::string> argv = rank_argv(*config);
    // The interpreter is the planned one, which need not be as written.
    const bool in_environment =
        plan.python.needed() && argv.front() == config->python_interpreter.value;
    if (plan.script_word > 0 || in_environment) argv.front() = plan.argv.front();
    plan.argv = std::move(argv);
    add_config_variables(*config, plan);
    put_python_first(plan);
  }
  if (!plan.in_place && !start.working_directory.empty()) {
    plan.working_directory = start.working_directory;
  }
  fill_start_values(start, plan);
}

Environment inherited_environment(const PlanInputs& inputs) {
  return kept(inputs, inherited_by_ranks);
}

void add_planned_variables(const LaunchPlan& plan, int rank, Environment& environment) {
  for (const EnvironmentVariable& variable : plan.common_environment) {
    environment.insert_or_assign(variable.name, variable.value);
  }
  for (const auto& variable : plan.rank_environment[plan.rank_index(rank)]) {
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
    const bool ours = plan.of_several_nodes() && is_daemon_setting(variable.name);
    if (is_mpi_setting(variable.name) && !ours) {
      environment.insert_or_assign(variable.name, variable.value);
    }
  }
  return environment;
}

}  // namespace muster::plan
