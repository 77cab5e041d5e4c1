#include "rank_agent/binding.h"

#include <cerrno>
#include <cstring>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/cpu_set.h"
#include "base/files.h"

namespace muster::agent {
namespace {

constexpr std::size_t kBitsPerWord = 8 * sizeof(unsigned long);
constexpr std::size_t kMaxMaskWords = (1U << 16) / kBitsPerWord;

std::vector<unsigned long> mask_of(const CpuSet& set) {
  std::vector<unsigned long> mask;
  for (const int index : set.to_vector()) {
    const auto bit = static_cast<std::size_t>(index);
    mask.resize(std::max(mask.size(), bit / kBitsPerWord + 1));
    mask[bit / kBitsPerWord] |= 1UL << (bit % kBitsPerWord);
  }
  return mask;
}

std::string bind_cpus(const std::string& list) {
  const auto cpus = CpuSet::parse(list);
  if (!cpus || cpus->empty()) return "not bound: bad CPU list \"" + list + "\"";
  const std::vector<unsigned long> mask = mask_of(*cpus);
  if (::syscall(SYS_sched_setaffinity, 0, mask.size() * sizeof(unsigned long), mask.data()) >= 0) {
    return "";
  }
  return "not bound to CPUs " + list + ": " + ::strerror(errno);
}

// MPOL_PREFERRED_MANY where the kernel has it (5.15), else the first node alone.  Preferred, not
// bound: an allocation may spill over instead of being killed for memory.
std::string prefer_memory(const std::string& list) {
  constexpr int kPreferred = 1;
  constexpr int kPreferredMany = 5;
  const auto nodes = CpuSet::parse(list);
  if (!nodes || nodes->empty()) return "no memory policy: bad node list \"" + list + "\"";
  const auto set_policy = [](int policy, const CpuSet& set) {
    const std::vector<unsigned long> mask = mask_of(set);
    // The kernel counts bits and ignores the last one.
    return ::syscall(SYS_set_mempolicy, policy, mask.data(), mask.size() * kBitsPerWord + 1) == 0;
  };
  if (set_policy(kPreferredMany, *nodes)) return "";
  if (set_policy(kPreferred, CpuSet{nodes->to_vector().front()})) return "";
  const int refusal = errno;
  // Containers deny it as a rule; where all memory is in one node nothing is lost.
  const auto online = read_file("/sys/devices/system/node/online");
  if (online && *online == list + "\n") return "";
  return "no memory policy for nodes " + list + ": " + ::strerror(refusal);
}

}  // namespace

std::string apply_binding(const protocol::RankSpec& spec) {
  if (!spec.bind()) return "";
  std::string note = bind_cpus(spec.cpuset());
  // The plan leaves them out where it does not know a core's home.
  if (spec.memory_nodes().empty()) return note;
  const std::string memory_note = prefer_memory(spec.memory_nodes());
  if (!note.empty() && !memory_note.empty()) note += "; ";
  return note + memory_note;
}

std::string read_affinity(pid_t pid) {
  for (std::size_t words = 16; words <= kMaxMaskWords; words *= 2) {
    std::vector<unsigned long> mask(words);
    const long got =
        ::syscall(SYS_sched_getaffinity, pid, words * sizeof(unsigned long), mask.data());
    if (got < 0 && errno == EINVAL) continue;  // the kernel's mask is longer
    if (got < 0) return "";
    CpuSet cpus;
    for (std::size_t bit = 0; bit < words * kBitsPerWord; ++bit) {
      if ((mask[bit / kBitsPerWord] >> (bit % kBitsPerWord) & 1UL) != 0) {
        cpus.insert(static_cast<int>(bit));
      }
    }
    return cpus.to_string();
  }
  return "";
}

}  // namespace muster::agent
