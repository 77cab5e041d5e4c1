// The metrics of one run: where their database is, made when it is first needed.
//
// In the run directory where databases work there.  Else (a network file system, FUSE, another
// user's directory, a read-only one) on this node's own disk, begun with what was published; then
// publish() puts a snapshot into the run directory by rename.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "collector/metrics/metrics_db.h"
#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::metrics {

class MetricsStore {
 public:
  MetricsStore(store::RunDirectory run, std::map<std::string, std::string> environment)
      : run_(std::move(run)), environment_(std::move(environment)) {}
  MetricsStore(const MetricsStore&) = delete;
  MetricsStore& operator=(const MetricsStore&) = delete;
  MetricsStore(MetricsStore&&) = default;
  ~MetricsStore() = default;

  // Opened, or made, at the first call.  A file that is no database of ours is set aside.
  Result<MetricsDb*> database();
  // Null before.
  MetricsDb* opened() { return database_ ? &*database_ : nullptr; }
  bool exists() const;  // metrics.db, in the run directory
  bool is_elsewhere() const { return temporary_.has_value(); }

  // What has been stored by now, into the run directory; nothing where the database is there
  // anyway.  Errors: kRunDirectory.
  Result<> publish();
  // No more will come: metrics.db alone is all of it.
  Result<> finish();

  // What happened to earlier files: a sentence each.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  bool may_be_in_place() const;
  Result<> open_in_place();
  Result<> open_elsewhere();
  Result<> make_temporary();
  bool take_snapshot(const std::filesystem::path& to) const;
  Result<> set_aside();

  store::RunDirectory run_;
  std::map<std::string, std::string> environment_;
  std::optional<TemporaryDirectory> temporary_;
  Fd in_use_;                          // it is locked, so that nobody sweeps it
  std::optional<MetricsDb> database_;  // gone before its directory
  std::vector<std::string> notes_;
};

}  // namespace muster::metrics
