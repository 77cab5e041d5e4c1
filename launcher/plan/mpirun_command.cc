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
  kOneNode,
  kSeveralNodes,
  kCrowdedNode,     // one, with more ranks than cores
  kIpv4,            // between several nodes
  kIpv6,            // the only one between several nodes
  kIpv6AlikeNames,  // and their interfaces have one name
  kNoRdma,          // several nodes that have nothing but TCP
  kSharedHost,      // some of several nodes are launchers of one host
};

struct WordRow {
  // Blanks separate them; {ranks}, {slots}, {nodes}, {cidrs}, {interfaces}, {kill_timeout} are
  // filled in.
  std::string_view words;
  std::string_view why;
  When when = When::kAlways;
  std::string_view unless_said = "";  // parameters; who sets one of them decides about them
};

// Words that mpirun takes from its environment, because those of its line reach the ranks as well;
// the agents keep these from them.
struct VariableRow {
  std::string_view name;
  std::string_view value;  // as WordRow's; also {agent}
  std::string_view why;
  When when = When::kAlways;
};

struct VersionTable {
  int major;
  std::string_view hostfile_variable;
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
// which is nothing to ranks of one node.
//
// Of several nodes, tried with both versions on two nodes in namespaces, with decoys: the names
// resolve nowhere, so mpirun asks our agent for every node alike.  A slot is a rank of the node,
// because mpirun deals what is above the slots out over all nodes.  IPv6 networks are not
// understood where interfaces are listed; 4.1 takes names of which a node lacks some for its own
// connections and refuses them for those of the ranks, 5 crashes: so the ranks are told their own
// node's name by a variable.
constexpr WordRow kWords4[] = {
    {"--allow-run-as-root", "we are root, which mpirun refuses without it", When::kAsRoot},
    {"-np {ranks}", "one agent per rank"},
    {"--host localhost:{slots}", "this node only; slots never exceed the cores that ranks own",
     When::kOneNode},
    {"--oversubscribe", "more ranks than cores, which mpirun refuses without it",
     When::kCrowdedNode},
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
    {"--leave-session-attached", "its daemons stay children of Muster's, which ends and reaps them",
     When::kSeveralNodes},
    {"--mca oob_tcp_if_include {cidrs}", "mpirun and its daemons meet where the launchers have",
     When::kIpv4, "oob_tcp_if_include oob_tcp_if_exclude"},
    {"--mca btl_tcp_if_include {cidrs}",
     "and so do the ranks; other interfaces may have equal addresses, or lead nowhere", When::kIpv4,
     "btl_tcp_if_include btl_tcp_if_exclude"},
    {"--mca oob_tcp_if_include {interfaces}",
     "mpirun and its daemons meet where the launchers have", When::kIpv6,
     "oob_tcp_if_include oob_tcp_if_exclude"},
    {"--mca oob_tcp_disable_ipv4_family 1", "no IPv4 between the nodes", When::kIpv6,
     "oob_tcp_disable_ipv4_family"},
    {"--mca btl_tcp_disable_family 4", "no IPv4 between the nodes", When::kIpv6,
     "btl_tcp_disable_family"},
    {"--mca pml ob1 --mca btl tcp,vader,self", "TCP is all that the nodes have", When::kNoRdma,
     "pml btl mtl"},
    {"--mca pml ob1 --mca btl tcp,self",
     "launchers share a host, and a rank would look for another's shared memory in vain: it "
     "crashes",
     When::kSharedHost, "pml btl mtl"},
    {"--mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 --mca "
     "oob_tcp_keepalive_probes 3",
     "a daemon whose network is gone ends by itself after 11 s, should nobody else end it",
     When::kSeveralNodes, "oob_tcp_keepalive_time"},
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
     "CPUs",
     When::kOneNode},
    {"HWLOC_COMPONENTS", "-x86", "no visit to every CPU", When::kSeveralNodes},
    {"OMPI_MCA_plm", "rsh", "the way to start daemons that asks an agent", When::kSeveralNodes},
    {"OMPI_MCA_plm_rsh_agent", "{agent} remote-exec",
     "it has the launcher of each node start the daemon there: no ssh", When::kSeveralNodes},
    {"OMPI_MCA_plm_rsh_no_tree_spawn", "1", "the head starts all daemons, and they none",
     When::kSeveralNodes},
    {"OMPI_MCA_plm_rsh_num_concurrent", "{nodes}", "all at once; fewer would be a deadlock",
     When::kSeveralNodes},
};

constexpr VariableRow kVariables5[] = {
    {"HWLOC_COMPONENTS", "-x86,-linux:pci,-linux:io",
     "no visit to every CPU, no reading of PCI devices: 1 ms of 17 of CPU time, more on busy CPUs",
     When::kOneNode},
    {"HWLOC_COMPONENTS", "-x86", "no visit to every CPU", When::kSeveralNodes},
    {"PRTE_MCA_plm", "ssh", "the way to start daemons that asks an agent", When::kSeveralNodes},
    {"PRTE_MCA_plm_ssh_agent", "{agent} remote-exec",
     "it has the launcher of each node start the daemon there: no ssh", When::kSeveralNodes},
    {"PRTE_MCA_plm_ssh_no_tree_spawn", "1", "the head starts all daemons, and they none",
     When::kSeveralNodes},
    {"PRTE_MCA_plm_ssh_num_concurrent", "{nodes}", "all at once; fewer would be a deadlock",
     When::kSeveralNodes},
};

// Open MPI 5: PRRTE's prterun, which mpirun becomes by exec, so that its pid stays the same.  Its
// own parameters go by --prtemca, and unlike words after --mca they are not passed on to the ranks.
constexpr WordRow kWords5[] = {
    {"--allow-run-as-root", "we are root, which mpirun refuses without it", When::kAsRoot},
    {"-np {ranks}", "one agent per rank"},
    {"--host localhost:{slots}", "this node only; slots never exceed the cores that ranks own",
     When::kOneNode},
    {"--map-by :OVERSUBSCRIBE", "more ranks than cores, which mpirun refuses without it",
     When::kCrowdedNode},
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
    {"--leave-session-attached", "its daemons stay children of Muster's, which ends and reaps them",
     When::kSeveralNodes},
    {"--prtemca prte_if_include {cidrs}", "mpirun and its daemons meet where the launchers have",
     When::kIpv4, "prte_if_include prte_if_exclude oob_tcp_if_include oob_tcp_if_exclude"},
    {"--mca btl_tcp_if_include {cidrs}",
     "and so do the ranks; other interfaces may have equal addresses, or lead nowhere", When::kIpv4,
     "btl_tcp_if_include btl_tcp_if_exclude"},
    {"--prtemca prte_if_include {interfaces}",
     "mpirun and its daemons meet where the launchers have", When::kIpv6AlikeNames,
     "prte_if_include prte_if_exclude oob_tcp_if_include oob_tcp_if_exclude"},
    {"--prtemca prte_disable_ipv4_family 1", "no IPv4 between the nodes", When::kIpv6,
     "prte_disable_ipv4_family oob_tcp_disable_ipv4_family"},
    {"--mca btl_tcp_disable_family 4", "no IPv4 between the nodes", When::kIpv6,
     "btl_tcp_disable_family"},
    {"--mca pml ob1 --mca btl tcp,sm,self", "TCP is all that the nodes have", When::kNoRdma,
     "pml btl mtl"},
    {"--mca pml ob1 --mca btl tcp,self",
     "launchers share a host, and a rank would look for another's shared memory in vain: it "
     "crashes",
     When::kSharedHost, "pml btl mtl"},
    {"--prtemca oob_tcp_keepalive_time 5 --prtemca oob_tcp_keepalive_intvl 2 --prtemca "
     "oob_tcp_keepalive_probes 3",
     "a daemon whose network is gone ends by itself after 11 s, should nobody else end it",
     When::kSeveralNodes, "oob_tcp_keepalive_time"},
};

constexpr VersionTable kVersions[] = {
    {4, "OMPI_MCA_orte_default_hostfile", kWords4, kVariables4, true},
    {5, "PRTE_MCA_prte_default_hostfile", kWords5, kVariables5, false},
};

const VersionTable* table_for(const MpirunIdentity& mpirun) {
  for (const VersionTable& table : kVersions) {
    if (table.major == mpirun.major) return &table;
  }
  return nullptr;
}

bool applies(When when, const MpirunFacts& facts, const MpirunIdentity& mpirun) {
  const bool several = facts.node_count > 1;
  switch (when) {
    case When::kAlways: return true;
    case When::kAsRoot: return facts.running_as_root;
    case When::kOversubscribed: return facts.oversubscribed;
    case When::kWithPspawn: return mpirun.has_pspawn && facts.rankfile.empty();
    case When::kAgentsBind: return !facts.nobody_binds && facts.rankfile.empty();
    case When::kMpirunBinds: return !facts.rankfile.empty();
    case When::kNobodyBinds: return facts.nobody_binds;
    case When::kOneNode: return !several;
    case When::kSeveralNodes: return several;
    case When::kCrowdedNode: return !several && facts.oversubscribed;
    case When::kIpv4: return several && !facts.ipv6 && !facts.cidrs.empty();
    case When::kIpv6: return several && facts.ipv6;
    case When::kIpv6AlikeNames: return several && facts.ipv6 && facts.interfaces.size() == 1;
    case When::kNoRdma: return several && !facts.rdma && !facts.shared_host;
    case When::kSharedHost: return several && facts.shared_host;
  }
  return false;
}

std::int64_t kill_timeout_seconds(std::chrono::milliseconds longest_grace) {
  return std::chrono::ceil<std::chrono::seconds>(longest_grace).count() + 10;
}

std::string filled_in(std::string_view word, const MpirunFacts& facts) {
  return fmt::format(fmt::runtime(word), fmt::arg("ranks", facts.rank_count),
                     fmt::arg("slots", facts.slots), fmt::arg("nodes", facts.node_count),
                     fmt::arg("cidrs", join(facts.cidrs, ",")),
                     fmt::arg("interfaces", join(facts.interfaces, ",")),
                     fmt::arg("agent", facts.agent_executable),
                     fmt::arg("kill_timeout", kill_timeout_seconds(facts.longest_grace)));
}

// Whoever sets a parameter has the say about it.
bool said_elsewhere(const WordRow& row, const MpirunFacts& facts) {
  for (const std::string& name : split(row.unless_said, ' ')) {
    if (facts.said.contains(name)) return true;
  }
  return false;
}

// mpirun takes blanks for the ends of words, and colons for those of alternatives.
Result<> check_agent_path(const MpirunFacts& facts) {
  const std::string& path = facts.agent_executable;
  if (facts.node_count == 1 || path.find_first_of(" \t\n:\"'") == path.npos) return {};
  return fail(ErrorCode::kResources,
              "cannot start ranks on several nodes with " + path +
                  ": mpirun takes a path with blanks, quotes or colons apart",
              "install Muster where the path has none of them, or set distributed_backend to "
              "direct");
}

}  // namespace

std::string mpi_node_name(int node_rank) {
  return "muster-" + std::to_string(node_rank);
}

std::string hostfile_text(const LaunchPlan& plan) {
  std::string text;
  for (const NodePlan& node : plan.nodes) {
    text += fmt::format("{} slots={}\n", mpi_node_name(node.node_rank), node.rank_count);
  }
  return text;
}

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
  MUSTER_TRY(check_agent_path(facts));
  MpirunCommand command;
  command.executable = mpirun.executable;
  command.version = mpirun.version;
  command.patient = table->patient;
  command.rankfile = facts.rankfile;
  command.hostfile = facts.hostfile;
  if (facts.node_count > 1) command.hostfile_variable = table->hostfile_variable;
  for (const WordRow& row : table->words) {
    if (!applies(row.when, facts, mpirun) || said_elsewhere(row, facts)) continue;
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
        {std::string(row.name), filled_in(row.value, facts), std::string(row.why)});
  }
  return command;
}

}  // namespace muster::plan
