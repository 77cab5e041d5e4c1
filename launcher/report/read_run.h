// run.json as its readers see it: `muster runs`, `logs`, `status` and `attach`.
//
// The file may be of an older or a newer version, of another user, or damaged: what is missing or
// of another type keeps its default, what is unknown is skipped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/plan/run_outcome.h"
#include "launcher/report/launcher_mark.h"
#include "muster/result.h"

namespace muster::report {

struct FailureView {
  std::optional<int> rank;  // nullopt: not a rank
  std::string how;          // "exited", "signaled", "time_limit", …
  int value = 0;
  std::string origin;       // "training" or "muster"
  std::string description;  // "exited with 7"
};

struct RankView {
  int rank = 0;
  int node_rank = 0;
  std::string how;  // "exited", "signaled", "not_started", …
  std::optional<int> exit_code;
  std::string signal;  // "SIGKILL", or ""
  std::string detail;
  int pid = 0;  // 0: unknown
  std::string cpuset;
  std::optional<plan::WallTime> started_at;
  std::optional<plan::WallTime> ended_at;
};

struct AttemptView {
  int attempt = 0;
  std::string status;
  std::optional<plan::WallTime> started_at;
  std::optional<plan::WallTime> ended_at;
  std::vector<RankView> ranks;  // empty while it runs
};

// What of a run is missing; see plan::Incomplete.
struct MissingView {
  std::uint64_t bytes = 0;  // of streams: gaps, and what was dropped
  bool more_bytes = false;  // and gaps whose length nobody knows
  bool undelivered = false;
  std::uint64_t undelivered_bytes = 0;
  std::uint64_t files_not_stored = 0;

  bool any() const { return bytes > 0 || more_bytes || undelivered || files_not_stored > 0; }
};

struct RunView {
  std::string run_id;
  std::string status;    // "running", "stopping", "succeeded", "failed", "cancelled"
  std::string stopping;  // why, once the ranks are asked to end
  std::optional<int> exit_code;
  std::string origin;  // "training", "muster"; "" while it runs
  std::optional<FailureView> first_failure;
  MissingView missing;
  std::optional<plan::WallTime> created_at;
  std::optional<plan::WallTime> started_at;
  std::optional<plan::WallTime> ended_at;
  LauncherMark launcher;
  std::string control_socket;  // "": none
  std::string muster_version;
  std::vector<std::string> command_line;
  std::string distributed_backend;
  int world_size = 0;
  std::vector<std::string> argv;
  std::vector<std::string> hostnames;  // [node_rank]
  std::vector<AttemptView> attempts;

  // Its launcher has not written its end: it runs, or its launcher is gone.
  bool is_unfinished() const { return !ended_at; }
};

// Errors: not JSON, or not an object.
Result<RunView> parse_run(std::string_view run_json);
// Errors also when the file is missing, unreadable or too large.
Result<RunView> read_run(const store::RunDirectory& run);

}  // namespace muster::report
