// run.json: what a run is and what became of it, as data (DESIGN §8).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"
#include "launcher/plan/source_plan.h"
#include "launcher/report/launcher_mark.h"

namespace muster::report {

// What run.json repeats of the plan; plan.json has all of it.
struct PlanSummary {
  config::Backend backend = config::Backend::kNone;
  int world_size = 1;
  int process_count_per_node = 1;
  bool oversubscribed = false;
  std::vector<plan::NodePlan> nodes;
  std::vector<int> node_rank_of_rank;  // [rank]
  std::vector<std::string> argv;       // what every rank execs
  std::string working_directory;
  std::vector<std::string> mpirun_argv;  // empty without mpirun
  std::string mpirun_executable;
  std::string mpirun_version;
  std::string python_environment;  // its directory in the cache; "" without packages
  std::string image;               // that the config asks for
  std::string container_image;     // of the container that the run is in, where it is known
  std::vector<std::string> warnings;
};

PlanSummary summarize(const plan::LaunchPlan& plan);

struct AttemptRecord {
  int attempt = 0;
  plan::WallTime started_at;
  std::optional<plan::RunOutcome> outcome;  // nullopt: it runs
};

struct RunRecord {
  std::string run_id;
  plan::WallTime created_at;
  LauncherMark launcher;
  std::string control_socket;  // of the launcher, while it lives
  std::vector<std::string> command_line;
  std::string run_directory;  // absolute
  PlanSummary plan;
  std::optional<plan::SourceRecord> source;  // what the ranks work with; not known from the start
  std::string stopping;                      // why, once the ranks are asked to end; "" before
  std::vector<AttemptRecord> attempts;       // the last one's outcome is the run's
};

// The text of the file.  Never throws because of what the strings hold: bytes that are not UTF-8
// become U+FFFD.
std::string run_json(const RunRecord& record);

}  // namespace muster::report
