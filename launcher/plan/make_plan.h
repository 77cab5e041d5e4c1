// config + inventory → LaunchPlan.  Pure: no file, clock, environment, hwloc or process is touched.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/cluster/network_choice.h"
#include "launcher/plan/container_checks.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/node_part.h"
#include "launcher/plan/placement.h"
#include "muster/result.h"

namespace muster::plan {

// The mpirun that was found, by looking at it (launcher/exec/mpirun_probe.h).
struct MpirunIdentity {
  std::string executable;  // full path
  std::string version;     // "4.1.4"
  int major = 0;
  int minor = 0;
  bool has_pspawn = false;  // Open MPI 4's way to start processes without fork(2)
};

// The Python that ranks will run, as their PATH and the config have it.
struct PythonFacts {
  std::string word;         // as the run names it: "python3"
  std::string executable;   // full path; "" when there is none
  std::string python3;      // without `executable`: the python3 that PATH has instead; or ""
  std::string environment;  // prefix of the virtual or conda environment that it belongs to; or ""
  std::string known_by;     // how that is known: "VIRTUAL_ENV", "pyvenv.cfg"
  std::string active;       // "VIRTUAL_ENV=/srv/venv": the one that is active, when it is another
};

// What the effects found out before planning; all of it is shown in the plan.
struct PlanInputs {
  // Defined in one place, because each file that has one would hold hundreds of lines of them.
  PlanInputs();
  PlanInputs(const PlanInputs&);
  PlanInputs(PlanInputs&&) noexcept;
  PlanInputs& operator=(const PlanInputs&);
  PlanInputs& operator=(PlanInputs&&) noexcept;
  ~PlanInputs();

  std::vector<topology::NodeInventory> nodes;  // by node_rank
  std::optional<MpirunIdentity> mpirun;        // needed with backend mpi
  std::string agent_executable;                // full path of muster-agent
  bool running_as_root = false;
  bool one_node = false;          // the processes of all nodes go on this one
  bool is_first_process = false;  // PID 1: of a container, or of a PID namespace
  std::map<std::string, std::string> caller_environment;
  std::string current_directory;                // absolute
  std::optional<PythonFacts> python;            // nullopt: the run has none that is known
  std::optional<PythonSources> python_sources;  // nullopt: no packages are asked for
  ContainerFacts container;
  std::optional<SourceFacts> source;  // of a source_directory that will be copied
  std::vector<Reason> command_line;   // words of other launchers, and what they are here
  config::Datastores datastores;      // where named data is
  DataFacts data;                     // what this machine has for inputs and outputs
  std::vector<HeldByRun> held = {};   // by other runs of this node: nodes.front()
  // A node of several that is not the head: `nodes` is its own inventory alone.
  std::optional<NodePart> part = {};
  // The head of several nodes, once they have met; without it such a plan says "<measured at
  // join>".
  std::optional<cluster::NetworkChoice> network = {};
};

// Values that only a start can know; `muster plan` passes the text "<set at start>".
struct StartValues {
  std::string run_id = "<set at start>";
  std::string master_port = "<set at start>";
  std::string working_directory = {};             // of the copy; "" when in place or not yet known
  std::string data_directory = "<set at start>";  // of inputs and outputs
  std::string run_directory = "<run directory>";  // absolute
  std::vector<std::string> rank_ports = {};       // with roles, one for each rank (TF_CONFIG)
  std::string service_port = "<set at start>";    // AZ_BATCH_MASTER_NODE's
  std::string node_directory = "<set at start>";  // of what ranks leave there: batch_directories.h
  std::string streams_directory = "<set at start>";  // what ranks write is stored below it
};

Result<LaunchPlan> make_plan(const config::RunConfig& config, const PlanInputs& inputs,
                             const StartValues& start = {});

// Fills the start's values into a plan that was made of this config without them; changes nothing
// else.
void set_start_values(LaunchPlan& plan, const config::RunConfig& config, const StartValues& start);

}  // namespace muster::plan
