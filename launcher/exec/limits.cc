#include "launcher/exec/limits.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"

namespace muster::exec {
namespace {

// Per rank: both pipes' read ends, the metrics FIFO, three stored files, the agent's socket, and
// for a moment at the start three write ends and their duplicates on the way to the agent.  Their
// place is taken by the files' time indexes, which begin with a rank's first byte.
constexpr unsigned long kFilesPerRank = 13;
constexpr unsigned long kFilesOfLauncher = 64;
// Agent and training process, each perhaps with a thread or two; mpirun's own.
constexpr unsigned long kProcessesPerRank = 4;
constexpr unsigned long kProcessesOfLauncher = 8;

struct Need {
  __rlimit_resource_t resource;
  const char* what;
  const char* option;
  unsigned long number;
};

}  // namespace

unsigned long files_needed(int local_ranks) {
  return kFilesOfLauncher + kFilesPerRank * static_cast<unsigned long>(local_ranks);
}

Result<std::vector<ResourceLimit>> raise_limits(int local_ranks) {
  const Need needs[] = {
      {RLIMIT_NOFILE, "open files", "n", files_needed(local_ranks)},
      {RLIMIT_NPROC, "processes", "u",
       kProcessesOfLauncher + kProcessesPerRank * static_cast<unsigned long>(local_ranks)},
  };
  std::vector<ResourceLimit> originals;
  for (const Need& need : needs) {
    rlimit limit{};
    if (::getrlimit(need.resource, &limit) != 0) continue;
    originals.push_back({static_cast<int>(need.resource), limit});
    // The kernel does not hold root to its number of processes.
    if (need.resource == RLIMIT_NPROC && ::geteuid() == 0) continue;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < need.number) {
      return fail(ErrorCode::kResources,
                  "the hard limit of " + std::to_string(limit.rlim_max) + " " + need.what +
                      " is too low for " + counted(local_ranks, "rank") + ": " +
                      std::to_string(need.number) + " are needed",
                  std::string("raise it with `ulimit -H") + need.option + " " +
                      std::to_string(need.number) +
                      "` as root, in limits.conf, or with the container's --ulimit");
    }
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < need.number) {
      limit.rlim_cur = need.number;
      if (::setrlimit(need.resource, &limit) != 0) {
        return Failure(
            system_error(ErrorCode::kResources, std::string("raising the limit of ") + need.what));
      }
    }
  }
  return originals;
}

}  // namespace muster::exec
