#include "rank_agent/binding.h"

#include <cerrno>
#include <cstring>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "base/cpu_set.h"
#include "rank_agent/kernel_mask.h"
#include "rank_agent/memory_policy.h"

namespace muster::agent {
namespace {

// CPUs that are offline or outside of the cpuset by now the kernel leaves out without a word; only
// a mask of nothing but those it refuses.
std::string bind_cpus(const std::string& list) {
  const auto cpus = CpuSet::parse(list);
  if (!cpus || cpus->empty()) return "not bound: bad CPU list \"" + list + "\"";
  const std::vector<unsigned long> mask = mask_of(*cpus);
  if (::syscall(SYS_sched_setaffinity, 0, mask.size() * sizeof(unsigned long), mask.data()) < 0) {
    const std::string why = ::strerror(errno);
    if (errno == EPERM || errno == ENOSYS) {
      return "not bound: sched_setaffinity is not permitted here (" + why + ")";
    }
    return "not bound to CPUs " + list + ": " +
           (errno == EINVAL ? "none of them is online and allowed" : why);
  }
  const std::string got = read_affinity(0);
  const auto bound = CpuSet::parse(got);
  if (!bound || *bound == *cpus) return "";
  return "bound to CPUs " + got + " of the planned " + list +
         ": the others are offline or no longer allowed";
}

std::string place_memory(const protocol::RankSpec& spec) {
  const auto nodes = CpuSet::parse(spec.memory_nodes());
  if (!nodes || nodes->empty()) {
    return "no memory policy: bad node list \"" + spec.memory_nodes() + "\"";
  }
  return set_memory_policy(spec.memory_policy(), *nodes);
}

}  // namespace

std::string apply_binding(const protocol::RankSpec& spec) {
  // The mask first: from then on the agent's own memory is where the rank's will be.
  std::string note = spec.bind() ? bind_cpus(spec.cpuset()) : "";
  // The plan leaves them out where it does not know a core's home.
  if (spec.memory_nodes().empty()) return note;
  const std::string memory_note = place_memory(spec);
  if (!note.empty() && !memory_note.empty()) note += "; ";
  return note + memory_note;
}

std::string read_affinity(pid_t pid) {
  for (std::size_t words = 16; words <= kMostMaskWords; words *= 2) {
    std::vector<unsigned long> mask(words);
    const long got =
        ::syscall(SYS_sched_getaffinity, pid, words * sizeof(unsigned long), mask.data());
    if (got < 0 && errno == EINVAL) continue;  // the kernel's mask is longer
    return got < 0 ? "" : set_of(mask).to_string();
  }
  return "";
}

}  // namespace muster::agent
