// One row per group of words that belong together; a new Open MPI version is a new table.
//
// mpirun is told to do little: start one agent per rank and give it its MPI identity.  It binds
// nothing unless the config has it bind by a rankfile, which comes by its stdin: so neither its
// line nor its environment names a place that only one run has.  It forwards no input and decides
// nothing about failures; the agents and the launcher do.
#include "launcher/plan/mpirun_command.h"

#include <span>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace muster::plan {
namespace {

enum class When {
  kAlways,
  kAsRoot,
  kOversubscribed,
  kWithPspawn,
  kAgentsBind,
  kMpirunBinds,
  kNobodyBinds,
};

struct WordRow {
  std::string_view words;  // blanks separate them; {ranks}, {slots}, {kill_timeout} are filled in
  std::string_view why;
  When when = When::kAlways;
};

// Words that mpirun takes from its environment, because those of its line reach the ranks as well;
// the agents keep these from them.
struct VariableRow {
  std::string_view name;
  std::string_view value;
  std::string_view why;
  When when = When::kAlways;
};

struct VersionTable {
  int major;
  std::span<const WordRow> words;
  std::span<const VariableRow> variables;
  bool patient;  // there is a word for how long it waits between SIGTERM and SIGKILL
};

// Figures are medians of interleaved starts of `mpirun -np 2 true`, Open MPI 4.1.4 and 5.0.11, on 2
// cores of a virtual machine with 6 PCI devices; words without a clear gain are not here.  (To name
// the one component of each framework that is needed would save 2 more of 14 ms, break the programs
// that MPI_Comm_spawn starts, which get these names too, and any build that lacks one of them.)
//
// mpirun hands its topology to the ranks.  Without PCI devices they do not know which NIC is near,
// which is nothing to ranks of one node; several nodes will need a table of their own.
constexpr WordRow kWords4[] = {
    {"--allow-run-as-root", "we are root, which mpirun refuses without it", When::kAsRoot},
    {"-np {ranks}", "one agent per rank"},
    {"--host localhost:{slots}", "this node only; slots never exceed the cores that ranks own"},
    {"--oversubscribe", "more ranks than cores, which mpirun refuses without it",
     When::kOversubscribed},
    {"--mca mpi_yield_when_idle 1",
     "waiting ranks leave the core to others: a small allreduce takes 28 us, not 25 ms",
     When::kOversubscribed},
    {"--bind-to none", "the agent binds: mpirun knows no memory policy and moves ranks",
     When::kAgentsBind},
    {"--bind-to none", "resources.binding is none", When::kNobodyBinds},
    {"--stdin none", "the agent gives each rank its input"},
    {"--mca odls_base_num_threads 0", "with threads, starting many ranks hangs now and then"},
    {"--mca orte_allowed_exit_without_sync 1",
     "ranks may end without MPI_Finalize; else mpirun lingers for twice its kill timeout"},
    {"--mca odls_base_sigkill_timeout {kill_timeout}",
     "the longest grace period and 10 s: Muster ends ranks, mpirun only after that"},
};

// pspawn leaves the agents in mpirun's own process group, and mpirun signals groups: so agents lead
// a group of their own before they do anything else.  It cannot bind what it starts, and says
// nothing.
//
// A rankfile by its word would reach the ranks, and an mpirun that one of them starts would look
// for a rankfile in its own input.
constexpr VariableRow kVariables4[] = {
    {"OMPI_MCA_orte_rankfile", "/dev/stdin", "it binds, by the rankfile that is its input",
     When::kMpirunBinds},
    {"OMPI_MCA_odls", "pspawn",
     "posix_spawn instead of fork, which copies mpirun's memory map: 1.7 of 3 ms for each rank",
     When::kWithPspawn},
    {"HWLOC_PLUGINS_PATH", "/dev/null",
     "no device plugins, which mpirun loads and does not need: 4.5 ms of 40"},
    {"HWLOC_COMPONENTS", "-x86,-linux:pci,-linux:io",
     "no visit to every CPU, no reading of PCI devices: 14 ms of 39 of CPU time, more on busy "
     "CPUs"},
};

constexpr VariableRow kVariables5[] = {
    {"HWLOC_COMPONENTS", "-x86,-linux:pci,-linux:io",
     "no visit to every CPU, no reading of PCI devices: 1 ms of 17 of CPU time, more on busy CPUs"},
};

// Open MPI 5: PRRTE's prterun, which mpirun becomes by exec, so that its pid stays the same.  Its
// own parameters go by --prtemca, and unlike words after --mca they are not passed on to the ranks.
constexpr WordRow kWords5[] = {
    {"--allow-run-as-root", "we are root, which mpirun refuses without it", When::kAsRoot},
    {"-np {ranks}", "one agent per rank"},
    {"--host localhost:{slots}", "this node only; slots never exceed the cores that ranks own"},
    {"--map-by :OVERSUBSCRIBE", "more ranks than cores, which mpirun refuses without it",
     When::kOversubscribed},
    {"--mca mpi_yield_when_idle 1", "waiting ranks leave the core to others",
     When::kOversubscribed},
    {"--bind-to none", "the agent binds: mpirun knows no memory policy and moves ranks",
     When::kAgentsBind},
    {"--bind-to none", "resources.binding is none", When::kNobodyBinds},
    {"--map-by rankfile:file=/dev/stdin", "it binds, by the rankfile that is its input",
     When::kMpirunBinds},
    {"--stdin none", "the agent gives each rank its input"},
    {"--prtemca odls_base_num_threads 0",
     "no threads that start ranks: they hang Open MPI 4 now and then, and gain nothing here"},
    {"--prtemca prte_allowed_exit_without_sync 1", "ranks may end without MPI_Finalize"},
};

constexpr VersionTable kVersions[] = {
    {4, kWords4, kVariables4, true},
    {5, kWords5, kVariables5, false},
};

const VersionTable* table_for(const MpirunIdentity& mpirun) {
  for (const VersionTable& table : kVersions) {
    if (table.major == mpirun.major) return &table;
  }
  return nullptr;
}

bool applies(When when, const MpirunFacts& facts, const MpirunIdentity& mpirun) {
  switch (when) {
    case When::kAlways: return true;
    case When::kAsRoot: return facts.running_as_root;
    case When::kOversubscribed: return facts.oversubscribed;
    case When::kWithPspawn: return mpirun.has_pspawn && facts.rankfile.empty();
    case When::kAgentsBind: return !facts.nobody_binds && facts.rankfile.empty();
    case When::kMpirunBinds: return !facts.rankfile.empty();
    case When::kNobodyBinds: return facts.nobody_binds;
  }
  return false;
}

std::int64_t kill_timeout_seconds(std::chrono::milliseconds longest_grace) {
  return std::chrono::ceil<std::chrono::seconds>(longest_grace).count() + 10;
}

std::string filled_in(std::string_view word, const MpirunFacts& facts) {
  return fmt::format(fmt::runtime(word), fmt::arg("ranks", facts.rank_count),
                     fmt::arg("slots", facts.slots),
                     fmt::arg("kill_timeout", kill_timeout_seconds(facts.longest_grace)));
}

}  // namespace

std::vector<std::string> MpirunCommand::argv() const {
  std::vector<std::string> all{"mpirun"};
  for (const MpirunWords& group : words) {
    all.insert(all.end(), group.words.begin(), group.words.end());
  }
  return all;
}

Result<MpirunCommand> mpirun_command(const MpirunIdentity& mpirun, const MpirunFacts& facts) {
  const VersionTable* table = table_for(mpirun);
  if (table == nullptr) {
    return fail(
        ErrorCode::kResources,
        "cannot use " + mpirun.executable + ": Open MPI " + mpirun.version +
            " is not supported by this version; 4.x and 5.x are",
        "put the mpirun of an Open MPI 4.x or 5.x first on PATH, or set distributed_backend "
        "to direct");
  }
  MpirunCommand command;
  command.executable = mpirun.executable;
  command.version = mpirun.version;
  command.patient = table->patient;
  command.rankfile = facts.rankfile;
  for (const WordRow& row : table->words) {
    if (!applies(row.when, facts, mpirun)) continue;
    MpirunWords group{{}, std::string(row.why)};
    for (const std::string& word : split(row.words, ' ')) {
      group.words.push_back(filled_in(word, facts));
    }
    command.words.push_back(std::move(group));
  }
  command.words.push_back(
      {{facts.agent_executable}, "the program: one agent, which starts the rank"});
  for (const VariableRow& row : table->variables) {
    if (!applies(row.when, facts, mpirun)) continue;
    command.environment.push_back(
        {std::string(row.name), std::string(row.value), std::string(row.why)});
  }
  return command;
}

}  // namespace muster::plan
