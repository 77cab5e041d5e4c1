#include "launcher/cli/help.h"

namespace muster::cli {
namespace {

constexpr const char* kGeneral =
    R"(muster: starts distributed training and keeps hold of it until the last byte is stored

usage: muster run CONFIG [-- extra script arguments]
       muster run -n 4 -- python3 train.py …

commands:
  run        start a run and wait for its end
  plan       show what a run would do: placement, environment, the exact mpirun line
  validate   check a config: every error at once, or the resolved settings
  topo       show what this node has

`muster COMMAND --help` lists a command's options; `muster --version` prints the version.
)";

constexpr const char* kRun = R"(muster run: start a run and wait for its end

usage: muster run [options] CONFIG [-- extra script arguments]
       muster run [options] -- PROGRAM [arguments]

run:
  -n, --process-count-per-node N   ranks on each node: a number, or auto [1]
  --backend mpi|direct|none        who starts the ranks; with -n above 1 and no config: mpi if an
                                   Open MPI is on PATH, else direct
  --set KEY.PATH=VALUE             replace one setting of the config; may be repeated
  --run-id ID                      name of the run [date, time and four hex digits]
  --runs-dir DIR                   where run directories are made [MUSTER_RUNS_DIR, else ./runs]
  --stdin none|rank0               who reads this command's standard input [none]

output:
  --console rank0|all|none|errors  which ranks' output is shown; all of it is stored anyway [rank0]

The exit code is the one of the first rank that failed, or one of Muster's own (README, "Exit codes").
Ctrl-C or SIGTERM ends all ranks orderly (limits.stop_grace_period); a second one at once.

examples:
  muster run -n 4 -- python3 train.py --epochs 3
  muster run run.yaml --set process_count_per_node=2 -- --epochs 3

environment: MUSTER_RUNS_DIR, MUSTER_RUNTIME_DIR (sockets and Open MPI's session; else
XDG_RUNTIME_DIR, TMPDIR, /tmp, /dev/shm), NO_COLOR
)";

constexpr const char* kPlan = R"(muster plan: show what a run would do, without doing it

usage: muster plan [options] CONFIG [-- extra script arguments]
       muster plan [options] -- PROGRAM [arguments]

  -n, --process-count-per-node N   as for muster run
  --backend mpi|direct|none        as for muster run
  --set KEY.PATH=VALUE             as for muster run
  --topology FILE                  plan for another node: an hwloc XML file (lstopo FILE.xml)
  --format text|json|argv          text: for people, with every number's origin; json: for programs;
                                   argv: the line that starts the ranks, quoted for a shell [text]
  --json                           the same as --format json

examples:
  muster plan run.yaml
  muster plan -n 8 --topology dgx.xml --format json -- python3 train.py
)";

constexpr const char* kValidate = R"(muster validate: check a config

usage: muster validate [options] CONFIG

Prints every setting with its value and where it came from, or every error with its place.

  -n, --process-count-per-node N   as for muster run
  --backend mpi|direct|none        as for muster run
  --set KEY.PATH=VALUE             as for muster run
  --json                           the settings as JSON
)";

constexpr const char* kTopo =
    R"(muster topo: show what this node has, as far as this process may use it

usage: muster topo [options]

  --topology FILE       another node: an hwloc XML file (lstopo FILE.xml)
  --format text|json    [text]
  --json                the same as --format json
)";

}  // namespace

std::string help_text() {
  return kGeneral;
}

std::string help_text(const std::string& command) {
  if (command == "run") return kRun;
  if (command == "plan") return kPlan;
  if (command == "validate") return kValidate;
  if (command == "topo") return kTopo;
  return kGeneral;
}

}  // namespace muster::cli
