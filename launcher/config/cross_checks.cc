#include "launcher/config/cross_checks.h"

#include "launcher/config/check_references.h"

namespace muster::config {
namespace {

void check_what_to_run(Draft& draft) {
  const auto& given = draft.what_to_run;
  if (given.empty() && draft.what_to_run_refused) return;
  if (given.empty() && !draft.config.dialect.empty()) {
    draft.problems.push_back({ErrorCode::kConfig,
                              "the config names neither a script nor a command to run",
                              "add one, or say --set entry_script=train.py",
                              Location{draft.config.file_name, 0, 0, ""}});
    return;
  }
  if (given.empty()) {
    draft.problems.push_back({ErrorCode::kConfig, "neither entry_script nor command is given",
                              "add \"entry_script: train.py\" or \"command: python3 train.py\"",
                              Location{draft.config.file_name, 0, 0, ""}});
    return;
  }
  for (std::size_t i = 1; i < given.size(); ++i) {
    const auto& [name, origin] = given[i];
    draft.problems.push_back(problem_at(
        origin, name,
        given[0].first + " is given too (" + given[0].second.text + "), and a run has one of them",
        "keep " + given[0].first + ", or keep " + name));
  }
}

void check_script_params(Draft& draft) {
  const auto& given = draft.what_to_run;
  const auto& params = draft.config.script_params;
  if (params.empty() || given.size() != 1 || given[0].first == "entry_script") return;
  draft.problems.push_back(
      problem_at(params[0].origin, "script_params." + params[0].value.name,
                 "script_params go with entry_script, and this run has a " + given[0].first,
                 "write the arguments into the " + given[0].first));
}

void check_arguments(Draft& draft) {
  const auto& given = draft.what_to_run;
  const auto& arguments = draft.config.arguments;
  if (arguments.empty() || given.size() != 1 || given[0].first == "entry_script") return;
  draft.problems.push_back(
      problem_at(arguments[0].origin, "arguments",
                 "arguments go with entry_script, and this run has a " + given[0].first,
                 "write them into the " + given[0].first));
}

// auto may turn out to be more than one as well; planning knows the node and checks that.
void check_backend(Draft& draft) {
  const auto& backend = draft.config.distributed_backend;
  const auto& count = draft.config.process_count_per_node;
  if (count.value.value_or(1) == 1 || backend.value != Backend::kNone) return;
  const bool readable = backend.origin.kind != Origin::Kind::kDefault;
  if (draft.backend_given && !readable) return;                 // already reported
  if (draft.source == nullptr && !draft.backend_given) return;  // the command line chooses
  const std::string why = std::to_string(*count.value) + " processes need a distributed_backend";
  const std::string choose =
      backend.origin.kind == Origin::Kind::kFlag
          ? "use --backend mpi (Open MPI starts them) or --backend direct "
          : "set distributed_backend to mpi (Open MPI starts them) or direct ";
  draft.problems.push_back(
      problem_at(count.origin, "process_count_per_node",
                 draft.backend_given ? why + ", and it is none (" + backend.origin.text + ")" : why,
                 choose + "(torch-style, without MPI)"));
}

}  // namespace

void check_together(Draft& draft) {
  check_what_to_run(draft);
  check_script_params(draft);
  check_arguments(draft);
  check_backend(draft);
  check_references(draft);
}

}  // namespace muster::config
