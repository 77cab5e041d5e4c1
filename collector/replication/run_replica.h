// The receiver's store: a run directory for each run, DIR/<run id>/ (docs/run-store.md).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "collector/replication/replica_run.h"
#include "collector/replication/replica_store.h"
#include "muster/result.h"

namespace muster::replication {

struct RunReplicaOptions {
  ReplicaLimits limits = {};
  // Of tests: a disk that fails.
  std::function<int(int)> sync_file = {};  // fdatasync
};

// The one run of a launcher that stores it itself.
struct OwnRun {
  std::filesystem::path directory;
  std::string run_id;
  std::shared_ptr<store::OutputNames> names;  // that its own outputs go through as well
};

class RunReplica final : public ReplicaStore {
 public:
  // Errors: kRunDirectory: the directory cannot be made, or another collector stores there.
  static Result<std::unique_ptr<RunReplica>> open(const std::filesystem::path& directory,
                                                  RunReplicaOptions options = {});
  // Of that run alone: its directory is made, locked and made durable by the launcher.  Errors:
  // kRunDirectory.
  static Result<std::unique_ptr<RunReplica>> open_own(const OwnRun& run,
                                                      RunReplicaOptions options = {});
  ~RunReplica() override;  // waits for a sync() that is under way, and does not say what it did

  Result<> admit(const store::Writer& writer) override;
  void attach(const store::Writer& writer) override;
  void detach(const store::Writer& writer) override;
  Result<OpenedStream> open(const store::Writer& writer, const StreamDescription& stream) override;
  Result<> append(Handle stream, std::uint64_t offset, std::string_view bytes) override;
  Result<> append_zeros(Handle stream, std::uint64_t offset, std::uint64_t count) override;
  Result<> add_gap(Handle stream, const StreamGap& gap) override;
  Result<> finish(Handle stream, const StreamEnd& end) override;
  Result<> tombstone(const store::Writer& writer, const std::string& path) override;
  void close(Handle stream) override;
  bool is_full() const override;
  void sync(std::function<void(Result<std::vector<DurableMark>>)> done) override;
  void clock(const store::Writer& writer, const ClockOffset& offset) override;

  // Readable when a sync() has something to say; then call run_finished(), which says it.
  int finished_fd() const;
  void run_finished();
  // Waits until no sync() is under way.
  void settle();

  std::filesystem::path directory_of(const std::string& run_id) const;
  // Of the one run of open_own(): that writer is lost.  Errors: kRunDirectory.
  Result<> give_up(const std::string& writer);

 private:
  struct State;
  explicit RunReplica(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace muster::replication
