// The layout of a run directory: the one place that knows its file names.
#pragma once

#include <filesystem>
#include <string>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::store {

class RunDirectory {
 public:
  // Creates runs_directory/run_id and the folders below it.  Fails with kRunDirectory, also when
  // the run id is taken.
  static Result<RunDirectory> create(const std::filesystem::path& runs_directory,
                                     const std::string& run_id, int world_size);
  // Sets some space aside, so that a run that fills the disk can still record its end.
  Result<> hold_reserve() const;
  void release_reserve() const;
  // Of it, what is for metrics, events and stderr when stdout has filled the disk.
  void release_urgent_reserve() const;

  // Held by the launcher for as long as it lives, so that everybody on this machine, in whatever
  // container, can tell whether it does.  No descriptor where the file system has no locks.
  Fd lock() const;
  bool is_locked() const;

  // An existing one; nothing is touched.
  explicit RunDirectory(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }

  std::filesystem::path run_json() const { return root_ / "run.json"; }
  std::filesystem::path plan_json() const { return root_ / "plan.json"; }
  std::filesystem::path config_yaml() const { return root_ / "config.yaml"; }
  std::filesystem::path events_jsonl() const { return root_ / "events.jsonl"; }
  std::filesystem::path report_txt() const { return root_ / "report.txt"; }
  std::filesystem::path mpirun_log() const { return root_ / "mpirun.log"; }
  std::filesystem::path launcher_log(const std::string& node) const {
    return root_ / "launcher" / (node + ".log");
  }
  std::filesystem::path outputs() const { return root_ / "outputs"; }
  std::filesystem::path logs() const { return root_ / "logs"; }
  std::filesystem::path reserve() const { return root_ / ".reserve"; }
  // Files that are not complete yet; complete ones are renamed into place.
  std::filesystem::path incoming() const { return state() / "incoming"; }
  void remove_incoming() const;
  std::filesystem::path scratch() const { return root_ / "scratch"; }
  // What variables of Azure Batch promise ranks on their node; gone with the run.
  std::filesystem::path node_files() const { return root_ / ".node"; }
  std::filesystem::path streams() const { return root_ / "ranks"; }
  std::filesystem::path node_metrics(const std::string& node) const {
    return root_ / "node_metrics" / (node + ".jsonl");
  }
  std::filesystem::path metrics_db() const { return root_ / "metrics.db"; }

  // Muster's own bookkeeping of the store (docs/run-store.md); it does not travel.
  std::filesystem::path state() const { return root_ / ".muster"; }
  std::filesystem::path streams_jsonl() const { return state() / "streams.jsonl"; }
  std::filesystem::path files_jsonl() const { return state() / "files.jsonl"; }
  std::filesystem::path urgent_reserve() const { return state() / "reserve"; }
  std::filesystem::path durable_json() const { return state() / "durable.json"; }
  std::filesystem::path writer_json() const { return state() / "writer.json"; }
  std::filesystem::path receiver_json() const { return state() / "receiver.json"; }
  // How far the writers' clocks are ahead of the receiver's: one measurement a line.
  std::filesystem::path clock_jsonl() const { return state() / "clock.jsonl"; }
  std::filesystem::path upstream_json() const { return state() / "upstream.json"; }

  // "ranks/00003/attempt-0", relative to root().
  static std::string attempt_directory(int rank, int attempt);
  std::filesystem::path rank_stdout(int rank, int attempt) const;
  std::filesystem::path rank_stderr(int rank, int attempt) const;
  std::filesystem::path rank_driver_log(int rank, int attempt) const;
  std::filesystem::path rank_metrics(int rank, int attempt) const;

 private:
  std::filesystem::path root_;
};

}  // namespace muster::store
