// The directories of one run that are neither the user's nor the run directory: sockets (runtime);
// FIFOs, Open MPI's session and its shared memory (shm).
//
// Both are ours alone (0700), hold a lock for as long as the launcher lives, and are removed at its
// end; those of a launcher that was killed are removed by the next start, because their lock is
// free.  Nothing is taken for one of them that has not the whole name and the mark.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::exec {

// A directory that is removed with this object, or by anybody once the process that holds it is
// dead.
class LockedDirectory {
 public:
  static Result<LockedDirectory> create(const std::filesystem::path& parent);
  // Removes those below `parent` that belong to us and to no living process.  Returns their names.
  static std::vector<std::string> remove_stale(const std::filesystem::path& parent);

  LockedDirectory() = default;
  LockedDirectory(LockedDirectory&&) noexcept = default;
  LockedDirectory& operator=(LockedDirectory&& other) noexcept;
  ~LockedDirectory();

  const std::filesystem::path& path() const { return path_; }

 private:
  LockedDirectory(std::filesystem::path path, Fd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  Fd lock_;
};

struct RuntimeDirectories {
  LockedDirectory runtime;
  LockedDirectory shm;  // on a tmpfs if there is one; empty path: Open MPI's files go into runtime
  bool mpi_memory_has_room = true;  // false: ranks are told to send over TCP
  bool session_in_shm = false;      // there is room for it beside the ranks' memory
  std::string warning;              // about the two above, for a person

  std::filesystem::path node_socket() const { return runtime.path() / "node.sock"; }
  std::filesystem::path control_socket() const { return runtime.path() / "control.sock"; }
  std::filesystem::path rankfile() const { return runtime.path() / "rankfile"; }
  std::filesystem::path hostfile() const { return runtime.path() / "hostfile"; }
  // In shared memory where there is one: a FIFO takes no room, and a disk is slow to make it.
  std::filesystem::path metrics_fifo(int local_rank) const {
    return mpi_shared_memory() / ("metrics." + std::to_string(local_rank));
  }
  // PMIx maps files there, which a disk would have to write and is slow to remove.
  std::filesystem::path mpi_session() const { return session_in_shm ? shm.path() : runtime.path(); }
  std::filesystem::path mpi_shared_memory() const {
    return shm.path().empty() ? runtime.path() : shm.path();
  }
};

// The first usable of MUSTER_RUNTIME_DIR, XDG_RUNTIME_DIR, TMPDIR, /tmp, /dev/shm (DESIGN §3), or
// an error that lists each and why not.  Stale directories of dead launchers are removed on the
// way.  `mpi_ranks` of them will share memory.
Result<RuntimeDirectories> make_runtime_directories(
    const std::map<std::string, std::string>& environment, int mpi_ranks = 0,
    int open_mpi_major = 4);

}  // namespace muster::exec
