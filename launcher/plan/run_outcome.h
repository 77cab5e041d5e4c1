// What happened to a run, as plain data.  It lives on the pure floor because execution writes it
// and the report reads it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/cpu_set.h"
#include "base/exit_status.h"

namespace muster::plan {

using WallTime = std::chrono::system_clock::time_point;

struct ResourceUsage {
  double user_seconds = 0;
  double system_seconds = 0;
  std::uint64_t max_rss_bytes = 0;
};

enum class RankEnd {
  kNotStarted,  // its training process never ran
  kExecFailed,  // exec or something before it failed: see exec_failure
  kExited,      // its training process ended by itself: see status
  kStopped,     // ended by Muster: because of another rank, a stop request or a limit; see status
  kAgentLost,   // its agent ended without a report
};

// One thing that is known about why a rank ended as it did.
struct Evidence {
  std::string
      kind;  // "oom_kill" | "oom_kill_of_other" | "killed_from_outside" | … (docs/failures.md)
  std::string text;  // a sentence for the report, without the rank
  std::string hint;  // what to do; may be empty

  friend bool operator==(const Evidence&, const Evidence&) = default;
};

// The exception that ended a training program, in its own words.
struct TrainingError {
  std::string message;         // "ValueError: loss is nan at step 1200"
  std::optional<WallTime> at;  // when, as far as the program said
  std::string source;          // "error_file" | "stderr"
};

// Where a rank was seen to run, read back from the kernel.
struct PlacementSeen {
  WallTime at;
  std::string cpus;                    // Cpus_allowed_list
  std::string memory_nodes;            // Mems_allowed_list
  std::string memory_policy;           // "preferred:1", "default", "bind:0-1"; "" not readable
  std::vector<std::string> gpus = {};  // UUIDs of the GPUs that its processes use; empty: not known

  friend bool operator==(const PlacementSeen&, const PlacementSeen&) = default;
};

struct RankOutcome {
  int rank = 0;
  RankEnd end = RankEnd::kNotStarted;
  ExitStatus status;                   // with kExited, kStopped; with kExecFailed the 126 or 127
  std::string exec_failure;            // "executing ./train: permission denied"
  std::string detail;                  // more evidence in one phrase; may be empty
  std::optional<WallTime> started_at;  // training process exec'd
  std::optional<WallTime> ended_at;
  int training_pid = 0;
  CpuSet cpuset;             // read back from the kernel
  std::string binding_note;  // how the read-back differs from the plan; empty: it does not
  // When it had just been started, and once more a few seconds later.
  std::vector<PlacementSeen> placement_seen;
  // How what was seen differs from the plan, a sentence each; empty: it does not.
  std::vector<std::string> placement_differences;
  std::string mpi_library;  // file name of an MPI library seen mapped; may be empty
  ResourceUsage usage;
  std::optional<TrainingError> error;
  std::vector<Evidence> evidence;
  std::string cause;  // what the evidence says of the end in one word: "oom"; empty: nothing
};

// Whose failure gives the exit code.
enum class FailureOrigin { kTraining, kMuster };

enum class RunStatus { kSucceeded, kFailed, kCancelled };

struct FirstFailure {
  std::optional<int> rank;  // nullopt: not a rank (mpirun, the disk, a limit)
  FailureOrigin origin = FailureOrigin::kTraining;
  std::string how;  // "exited" | "signaled" | "exec_failed" | "agent_lost" | "mpirun_ended" |
                    // "start_timeout" | "time_limit" | "run_directory" | "stopped"
  int value = 0;    // exit code or signal number
  std::string description;  // one sentence without the subject: "exited with 7"
  std::string cause = {};   // of that rank's end; may be empty
  // The clocks of different nodes do not tell which of these failed first; `rank` is one of them,
  // the first by what is known.  Empty: it was `rank`.
  std::vector<int> candidates = {};
  std::string doubt = {};  // the same in words
};

// Bytes that a rank wrote and that are not in its file.
struct StreamGap {
  std::string stream;                   // "ranks/00003/attempt-0/stdout.log"
  std::uint64_t offset = 0;             // of the first missing byte
  std::optional<std::uint64_t> length;  // nullopt: unknown
  std::string reason;
};

// What of a run is not where it should be, beside the gaps of its streams.
struct Incomplete {
  std::uint64_t dropped_bytes = 0;      // of streams, to keep within streams.max_size
  std::uint64_t dropped_ranges = 0;     // that they are
  bool undelivered = false;             // the collector has not all of it
  std::uint64_t undelivered_bytes = 0;  // of which so many are known
  std::uint64_t files_not_stored = 0;   // of the output folders

  friend bool operator==(const Incomplete&, const Incomplete&) = default;
};

struct RunOutcome {
  // Defined in one place, because each file that has one would hold hundreds of lines of them.
  RunOutcome();
  RunOutcome(const RunOutcome&);
  RunOutcome(RunOutcome&&) noexcept;
  RunOutcome& operator=(const RunOutcome&);
  RunOutcome& operator=(RunOutcome&&) noexcept;
  ~RunOutcome();

  RunStatus status = RunStatus::kSucceeded;
  int exit_code = 0;
  std::optional<FirstFailure> first_failure;
  std::vector<RankOutcome> ranks;
  std::vector<StreamGap> gaps;
  Incomplete incomplete = {};
  std::vector<std::string> warnings;  // found while it ran: separate MPI worlds, lost outputs
  WallTime started_at;
  WallTime ended_at;
  // With a stop_budget, after a stop from outside: what is left to do must be done by then.
  std::optional<std::chrono::steady_clock::time_point> finish_by;
};

}  // namespace muster::plan
