// All that is mounted or linked for one run on this node: brought about before the ranks, looked
// after while they run, taken away after them.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/preparation.h"
#include "launcher/data/mount.h"
#include "launcher/plan/data_plan.h"
#include "muster/result.h"

namespace muster::data {

// How the mounts of a run ended.
struct Unmounted {
  std::vector<std::string> lazily;  // "input digits": it did not go away in time
  std::vector<std::string>
      incomplete;  // "output model: …": what may be lost, and where it still is
};

class Mounts {
 public:
  // `plan` has its start's paths, and outlives this.
  Mounts(const plan::DataPlan& plan, MountSettings settings);
  // Takes away lazily what stop() has not.
  ~Mounts();
  Mounts(const Mounts&) = delete;
  Mounts& operator=(const Mounts&) = delete;

  // All of them beside each other; returns when every one can be read.  Errors: kData, the first
  // that fails, after which nothing stays mounted; kStopped.
  Result<> start(Preparation& preparation);

  // While the ranks run, about twice a second and whenever a child ended.  Errors: kData, a mount
  // is gone and its data with it.
  Result<> check();
  // Whether a child of this process is one of ours to reap.
  bool owns(pid_t pid) const;

  // After the ranks: waits for what is being written back, unmounts, and after `patience` takes
  // away lazily what is left.  `hurry` says that somebody does not want to wait.
  Unmounted stop(std::chrono::milliseconds patience, const std::function<bool()>& hurry);

  bool empty() const { return plan_.empty(); }

 private:
  Result<> make_directory();
  Result<> make_links();
  Result<> link(const std::filesystem::path& name, const std::filesystem::path& target,
                const plan::DataItem& item);
  Result<> mount_all(Preparation& preparation);
  void remove_links();

  const plan::DataPlan& plan_;
  MountSettings settings_;
  std::vector<std::unique_ptr<MountedItem>> mounts_;
  std::vector<std::filesystem::path> links_;
  std::vector<std::filesystem::path> directories_;
  bool stopped_ = false;
};

}  // namespace muster::data
