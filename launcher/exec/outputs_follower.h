// ./outputs, ./logs and the named outputs of a run on their way into its run directory: while the
// ranks run on a thread that takes second place to them, and the rest when they have ended.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "collector/outputs/output_folders.h"
#include "collector/store/run_directory.h"
#include "launcher/exec/folder_claim.h"
#include "launcher/exec/follower.h"

namespace muster::exec {

struct OutputsRequest {
  store::RunDirectory run;
  std::filesystem::path working_directory;
  // Another node of the run works in the same directory and stores what is there.
  bool is_shared = false;
  bool in_place = true;  // false: the working directory is thrown away in the end
  // Named outputs that ranks write to the run directory itself: "outputs/model".
  std::vector<std::string> named = {};
  bool live = true;
  std::optional<std::uint64_t> max_bytes = {};
  int lowest_rank = 0;
  std::shared_ptr<store::OutputNames> names = {};  // outputs::PublisherOptions
  std::map<std::string, std::string> environment = {};  // of whoever asked for the run
  // Of something that should be known; from the follower's thread, too.
  std::function<void(const outputs::FileEvent&)> tell = [](const outputs::FileEvent&) {};
  std::function<void(const std::string&)> say = [](const std::string&) {};  // to people, now
};

class OutputsFollower : public Follower {
 public:
  explicit OutputsFollower(OutputsRequest request);
  ~OutputsFollower() override;

  void start() override;
  FollowerEnd finish(const FinishLimits& limits) override;

  // After finish().
  bool all_taken() const { return all_taken_; }
  const std::vector<outputs::OutputFolders::FolderEnd>& folders() const { return ends_; }

 private:
  void follow();
  void tell_events();
  void stop_following(const FinishLimits& limits, bool hurried_before);
  std::string shared_with() const;
  void say_shared();
  void hash_moved(const outputs::KeepOn& keep_on, FollowerEnd& end);

  OutputsRequest request_;
  outputs::OutputFolders folders_;    // the thread's, until it has ended
  std::optional<FolderClaim> claim_;  // of the working directory, where it is nobody's copy
  bool said_shared_ = false;
  Fd wake_;
  std::atomic<bool> stopping_ = false;   // no further look
  std::atomic<bool> abandoned_ = false;  // what is being copied as well
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ended_ = false;
  std::thread thread_;
  bool all_taken_ = false;
  std::vector<outputs::OutputFolders::FolderEnd> ends_;
};

}  // namespace muster::exec
