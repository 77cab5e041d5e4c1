// One input or output while it is mounted: its helper processes, the questions whether it answers,
// its log.  A state machine that step() moves on; nothing in it waits.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mounts.h"
#include "base/process.h"
#include "launcher/data/environment_file.h"
#include "launcher/plan/data_plan.h"
#include "muster/result.h"

namespace muster::data {

using Clock = std::chrono::steady_clock;

// The marks that a helper carries, however far it forks: so a daemon is known as whose it is.
inline constexpr const char* kHelperVariable = "MUSTER_MOUNT";

struct MountSettings {
  std::string hostname;
  std::filesystem::path data_directory;
  std::filesystem::path run_directory;
  std::filesystem::path log_directory;
  std::map<std::string, std::string> environment;  // of the caller
  std::string fusermount;                          // full path, may be empty
  std::string reader;  // the program that is asked for the first read: muster itself
  std::chrono::milliseconds mount_timeout{60'000};
  std::chrono::milliseconds unmount_timeout{30'000};
  // What happened, for events.jsonl: requested, started, ready, silent, answers, died, unmounted.
  std::function<void(const std::string& what, const plan::DataItem& item,
                     const std::string& detail)>
      on_event;
  std::function<void(const std::string& text)> notice;  // for a person
};

class MountedItem {
 public:
  MountedItem(const plan::DataItem& item, const MountSettings& settings)
      : item_(item), settings_(settings) {}

  // Makes the mount point and starts the first helper.
  Result<> request();
  // true once it can be read.  Errors: it never will.
  Result<bool> step(const std::vector<Mount>& table);
  // Why it is not ready yet, for the message when the time is up.
  Error timed_out();

  // During the run, from time to time.  Errors: it is of no use any more.
  Result<> watch(Clock::time_point now);
  bool owns(pid_t pid) const;

  // After the ranks.  flushed(): nothing that they wrote waits for its upload.
  bool flushed() const;
  void begin_unmount();
  // true once it is gone from the table and its helper has ended.
  bool step_unmount(const std::vector<Mount>& table);
  // Lazily, and kills the helper; what is left of it after that is nobody's.
  void give_up();
  // Directories, links and what was kept for upload; the last when it all arrived.
  void remove_traces(bool complete);

  const plan::DataItem& item() const { return item_; }
  bool requested() const { return requested_; }
  bool is_mounted(const std::vector<Mount>& table) const;
  bool can_lose_data() const { return item_.is_output || !item_.read_only; }
  bool failed() const { return failed_; }
  std::filesystem::path log() const;
  std::filesystem::path write_cache() const;

 private:
  enum class State { kMounting, kAdjusting, kReading, kReady };

  Result<> make_place();
  Result<> read_credentials();
  std::vector<std::string> remote_words() const;
  Error not_read(const ExitStatus& status) const;
  Result<> start_helper();
  Result<> start_reader(bool first);
  Result<Child> start(const std::vector<std::string>& argv);
  Error nothing_mounted() const;
  bool is_perhaps_a_file() const;
  Error failure(const std::string& what, std::string hint = {}) const;
  std::string who() const;
  std::filesystem::path point() const { return path_in_table(item_.mount_point); }
  Result<> look_at_helper();
  Result<> check_table(const Mount& mount) const;
  void tell(const std::string& what, const std::string& detail = {}) const;
  std::vector<pid_t> daemons() const;

  const plan::DataItem& item_;
  const MountSettings& settings_;
  State state_ = State::kMounting;
  bool requested_ = false;
  bool failed_ = false;
  std::size_t next_helper_ = 0;
  Child helper_;             // the first words: for as long as the mount is there, or until it is
  bool daemonised_ = false;  // it ended with 0 and left the mount to another process
  bool exit_seen_ = false;
  Clock::time_point helper_ended_{};
  // Never forgotten while it may hang: a process that waits for a dead server cannot be killed.
  std::unique_ptr<Child> reader_;
  Clock::time_point reader_began_{};
  Clock::time_point next_read_{};
  bool silent_ = false;
  std::unique_ptr<Child> adjuster_;  // makes it read-only
  std::unique_ptr<Child> unmounter_;
  Clock::time_point next_unmount_{};
  int signalled_ = 0;
  Clock::time_point signalled_at_{};
  Variables secrets_;
};

}  // namespace muster::data
