// The whole decision of a run as plain data: what `muster plan` prints is what `muster run`
// executes.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu_set.h"
#include "launcher/config/run_config.h"
#include "launcher/plan/data_plan.h"
#include "launcher/plan/python_plan.h"
#include "launcher/plan/source_plan.h"
#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// One resolved number or choice, and why.
struct Reason {
  std::string subject;  // "process_count_per_node", "rank 3", "mpirun"
  std::string value;    // "4", "cores 0-3"; may be empty
  std::string why;      // "run.yaml:7:25", "spread over 2 NUMA nodes before any is filled twice"
};

// How good a node's placement is, each from 0 to 1 but for the total: docs/placement.md.
struct PlacementScore {
  double locality = 0;   // L: cores near the GPUs of their ranks
  double exclusive = 0;  // X: cores that one rank alone has
  double balance = 0;    // B: fewest cores of a rank to most
  double use = 0;        // U: used cores of the allowed ones
  double coverage = 0;   // G: GPUs that belong to some rank
  double total = 0;      // P: 0 to 100, of the five above
  double memory = 0;     // M, reported apart: policies that name the GPUs' nodes alone
  double siblings = 0;   // S: cores whose hardware threads stay in one rank
  double rail = 0;       // R: nearness of each GPU's NIC; without NICs 1
  double order = 0;      // O: 1 where local rank k has GPU block k

  friend bool operator==(const PlacementScore&, const PlacementScore&) = default;
};

// A layout that was looked at: "strict", "balanced", "spill".
struct LayoutCandidate {
  std::string name;
  PlacementScore score;
};

struct NodePlan {
  int node_rank = 0;
  std::string hostname;
  std::string layout = {};  // the candidate that was taken; "unbound", "rank_map"
  PlacementScore score = {};
  std::vector<LayoutCandidate> candidates = {};  // in order of preference, the taken one among them
  std::vector<int> idle_gpus = {};               // ordinals of visible GPUs that no rank has
  // What CUDA_VISIBLE_DEVICES must be for all ranks of the node, as UUIDs (or numbers where UUIDs
  // are unknown): leased GPUs are left out, or they are permuted.  Empty: it is left alone.
  std::vector<std::string> visible_devices = {};
  // As the config has it; but own for several ranks on MIG instances, unless the config says all.
  config::GpuVisibility gpu_visibility = config::GpuVisibility::kAll;
  int first_rank = 0;  // its ranks are numbered from here on
  int rank_count = 0;
  std::string address = "127.0.0.1";  // as the other nodes reach it
  std::string interface = "lo";       // its name there; on one node nothing leaves it
};

// What a rank is among the others; TensorFlow's are the only ones that differ.
enum class RankRole { kAlike, kWorker, kParameterServer };

struct RankPlacement {
  int rank = 0;
  int local_rank = 0;
  int node_rank = 0;
  bool bound = true;                // false: more ranks than cores; cpuset is then all allowed PUs
  int core_count = 0;               // whole cores that it owns (0 when unbound)
  CpuSet cpuset;                    // PUs, OS indexes
  std::vector<int> memory_nodes;    // NUMA OS indexes of the policy; empty: leave the default
  std::vector<topology::Gpu> gpus;  // that it owns, or shares with others: see shares_gpus
  std::vector<std::string> nics;    // nearest ones, by name
  RankRole role = RankRole::kAlike;
  int role_index = 0;                // among those of its role
  std::vector<int> cores = {};       // hwloc logical indexes of its whole cores
  std::vector<int> numa_nodes = {};  // OS indexes of its cores' homes, kUnknown among them
  config::MemoryPolicy memory_policy = config::MemoryPolicy::kPreferred;
  bool shares_gpus = false;
  double locality = 0;   // mean nearness of its cores to its GPUs, 0 to 1
  std::string why = {};  // "nearest to GPU 2 (NUMA 1)", "remote: GPU 5 is on NUMA 1, not ours"
};

struct EnvironmentVariable {
  std::string name;
  std::string value;
  std::string origin;  // "muster", "run.yaml:12:5", "caller"
};

// One or more words of the mpirun line that belong together, and why they are there.
struct MpirunWords {
  std::vector<std::string> words;
  std::string why;
};

struct MpirunCommand {
  std::string executable;          // full path; exec'd with argv[0] "mpirun"
  std::string version;             // "4.1.4"
  std::vector<MpirunWords> words;  // argv[1..] in order, up to and with the agent
  std::vector<EnvironmentVariable>
      environment;  // run-independent words that travel in the environment
  // Whether it can be told how long after a SIGTERM it may kill; Open MPI 5 always takes 250 ms.
  bool patient = true;
  std::string rankfile = {};  // what it reads on its stdin; "": the agents bind, or nobody
  // On several nodes: the names that it has for them, a file of the start's own that the variable
  // names; "": one node.
  std::string hostfile = {};
  std::string hostfile_variable = {};

  bool binds() const { return !rankfile.empty(); }
  std::vector<std::string> argv() const;  // "mpirun" and all words
};

// Words of an argv: so many from the first on.
struct WordRange {
  int first = 0;
  int count = 0;
};

// Whose sentences stand around a rank's output in the logs with Azure ML's names.
enum class DriverSentences { kNone, kV1, kV2 };

// How a run of several nodes meets; of one node: loopback.
struct PlannedNetwork {
  std::string master_address = "127.0.0.1";  // rank 0's node
  bool ipv6 = false;                         // there is no IPv4 between the nodes
  std::vector<std::string> cidrs = {};       // for Open MPI
  // By node rank; empty for more nodes than kMostNodesListed.
  std::vector<std::string> addresses = {};
  std::vector<int> core_counts = {};  // allowed ones
  std::vector<int> rank_counts = {};
};

// Of the whole run, or of one node that is not the head: then `nodes` and `ranks` have that node
// alone, with the numbers that it and they have in the run.
struct LaunchPlan {
  // Defined in one place, because each file that has one would hold hundreds of lines of them.
  LaunchPlan();
  LaunchPlan(const LaunchPlan&);
  LaunchPlan(LaunchPlan&&) noexcept;
  LaunchPlan& operator=(const LaunchPlan&);
  LaunchPlan& operator=(LaunchPlan&&) noexcept;
  ~LaunchPlan();

  config::Backend backend = config::Backend::kNone;
  int world_size = 1;  // of the run
  int node_count = 1;  // of the run
  int process_count_per_node = 1;
  int asked_node_count = 1;     // above 1: by the config, and their processes are all on this node
  bool oversubscribed = false;  // more ranks than cores on some node

  DriverSentences driver_sentences = DriverSentences::kNone;

  std::vector<NodePlan> nodes;
  std::vector<RankPlacement> ranks;
  PlannedNetwork network;

  std::vector<std::string> argv;     // what every rank execs
  int script_word = -1;              // which of them is the entry_script; -1: none is
  WordRange expanded;                // where each rank replaces $NAME and ${NAME} by its own values
  std::string working_directory;     // absolute, or "<copy of DIR>" text in `muster plan`
  bool in_place = true;              // false: ranks run inside a copy of source_directory
  std::string source_directory;      // absolute; "" when in place
  std::optional<SourcePlan> source;  // of the copy, once somebody has looked at the directory

  std::optional<MpirunCommand> mpirun;  // with backend mpi

  std::vector<EnvironmentVariable> common_environment;             // the same for all ranks
  std::vector<std::vector<EnvironmentVariable>> rank_environment;  // as ranks
  std::vector<std::string> dropped_from_ranks;   // caller's variables that ranks do not inherit
  std::vector<std::string> dropped_from_mpirun;  // caller's variables that mpirun does not inherit

  DataPlan data;                // inputs and outputs
  PythonPlan python;            // the environment of its packages
  std::string image;            // environment.image, as the config has it
  std::string container_image;  // of the container that we are in, where it is known

  config::Limits limits;
  std::vector<config::MetricPattern> metric_patterns;
  config::Streams streams;
  std::vector<Reason> reasons;
  std::vector<std::string> warnings;

  // By the numbers of the run, whichever part of it this is.  Precondition: it has that one.
  int first_rank() const { return ranks.empty() ? 0 : ranks.front().rank; }
  std::size_t rank_index(int rank) const { return static_cast<std::size_t>(rank - first_rank()); }
  const RankPlacement& rank(int rank) const { return ranks[rank_index(rank)]; }
  std::size_t node_index(int node_rank) const {
    return static_cast<std::size_t>(node_rank - (nodes.empty() ? 0 : nodes.front().node_rank));
  }
  const NodePlan& node(int node_rank) const { return nodes[node_index(node_rank)]; }
  bool has_rank(int rank) const { return rank >= first_rank() && rank_index(rank) < ranks.size(); }
  bool of_several_nodes() const { return node_count > 1; }
};

}  // namespace muster::plan
