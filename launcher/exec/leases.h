// Which cores and GPUs of this node belong to which run of this user, so that the next run takes
// others while there are any.
//
// One small file per run in one directory.  The launcher holds a lock on its file, so the kernel
// ends the lease with the process, however that ends, and no pid is ever asked whether it lives (it
// may be of another PID namespace): a file that nobody locks is stale.  Whoever chooses places
// holds the lock of the directory from reading until its own file is there, so that two starts at
// once never choose the same cores.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/placement.h"
#include "muster/result.h"

namespace muster::exec {

struct LeaseRecord {
  plan::HeldByRun held;
  std::string since;                     // UTC
  std::vector<std::string> inside = {};  // ids of the runs that it was started in, outermost first
};

// A run's own; its file goes with this object.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

  void release();
  explicit operator bool() const { return static_cast<bool>(file_); }
  std::string text() const;  // as it is by now

 private:
  friend class LeaseDirectory;
  Lease(std::filesystem::path path, Fd file) : path_(std::move(path)), file_(std::move(file)) {}

  std::filesystem::path path_;
  Fd file_;  // locked
};

class LeaseDirectory {
 public:
  // MUSTER_LEASE_DIR, else one in /dev/shm or /tmp.  Fails where none can be had that belongs to us
  // alone; with kIfThere also where there is none yet, so that looking leaves nothing behind.
  enum class Making { kIfMissing, kIfThere };
  static Result<LeaseDirectory> open(const std::map<std::string, std::string>& environment,
                                     Making making = Making::kIfMissing);

  // Nobody else reads in order to take until this object is gone or unlock() is called.  Waits for
  // others for a moment; one that stands still must not keep all from starting.
  Result<> lock();
  void unlock();

  // Leases of living launchers, by run id; with the lock, those of dead ones are removed.
  std::vector<LeaseRecord> read() const;

  Result<Lease> take(const LeaseRecord& record) const;

  // Other files that live as leases do, locked by whoever made them: `kind` is what their names
  // begin with.  living() removes those of dead launchers; a file that it gives may be appended to.
  struct Living {
    Fd file;
    std::string text;
  };
  Result<Lease> put(std::string_view kind, const std::string& text) const;
  std::vector<Living> living(std::string_view kind) const;

  const std::filesystem::path& path() const { return path_; }

 private:
  LeaseDirectory(std::filesystem::path path, Fd directory)
      : path_(std::move(path)), directory_(std::move(directory)) {}
  static Result<LeaseDirectory> open_at(const std::filesystem::path& path, Making making);

  std::filesystem::path path_;
  Fd directory_;
  bool locked_ = false;
};

// What others hold that a run started inside run `around` ("" for most) must avoid: a run has the
// cores of the runs around it.
std::vector<plan::HeldByRun> held_by_others(const std::vector<LeaseRecord>& records,
                                            const std::string& around);

// The runs around one that is started inside run `around`, outermost first.
std::vector<std::string> runs_around(const std::vector<LeaseRecord>& records,
                                     const std::string& around);

// What a run holds by its plan: cores of bound ranks, and GPUs.  Both may be empty: a run that is
// bound to nothing keeps nobody from anything.
plan::HeldByRun held_by_plan(const plan::LaunchPlan& plan, config::Binder binding);

}  // namespace muster::exec
