// By system calls, as libnuma is a library that the agent would have to carry along.
#include "rank_agent/memory_policy.h"

#include <cerrno>
#include <cstring>
#include <linux/mempolicy.h>
#include <optional>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"
#include "rank_agent/kernel_mask.h"

namespace muster::agent {
namespace {

constexpr int kPreferredMany = 5;  // MPOL_PREFERRED_MANY: Linux 5.15; older headers lack the name
constexpr std::size_t kLargestStatus = 64U << 10;

bool set_policy(int policy, const CpuSet& nodes) {
  const std::vector<unsigned long> mask = mask_of(nodes);
  // The kernel counts bits and ignores the last one.
  return ::syscall(SYS_set_mempolicy, policy, mask.data(), mask.size() * kBitsPerWord + 1) == 0;
}

// Preferred, not bound: an allocation may spill over instead of being killed for memory.  Kernels
// without the policy for several nodes prefer the first one alone.
bool prefer(const CpuSet& nodes) {
  return set_policy(kPreferredMany, nodes) ||
         set_policy(MPOL_PREFERRED, CpuSet{nodes.to_vector().front()});
}

bool apply(const std::string& policy, const CpuSet& nodes) {
  if (policy == "strict") return set_policy(MPOL_BIND, nodes);
  if (policy == "interleave") return set_policy(MPOL_INTERLEAVE, nodes);
  return prefer(nodes);
}

// nullopt where /proc does not tell: then the kernel decides alone.
std::optional<CpuSet> allowed_nodes() {
  const auto status = read_file("/proc/self/status", kLargestStatus);
  if (!status) return std::nullopt;
  constexpr std::string_view kField = "\nMems_allowed_list:\t";
  const std::size_t at = status->find(kField);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = at + kField.size();
  const auto nodes = CpuSet::parse(status->substr(begin, status->find('\n', begin) - begin));
  return nodes && !nodes->empty() ? std::optional(*nodes) : std::nullopt;
}

}  // namespace

std::string set_memory_policy(const std::string& policy, const CpuSet& nodes) {
  const auto allowed = allowed_nodes();
  const CpuSet usable = allowed ? nodes.intersection(*allowed) : nodes;
  if (usable.empty()) {
    return "no memory policy: of the nodes " + nodes.to_string() + " none is allowed, only " +
           allowed->to_string();
  }
  if (!apply(policy, usable)) {
    const int refusal = errno;
    // Where no other node may be used nothing is lost.
    if (allowed && *allowed == usable && usable.count() == 1) return "";
    if (refusal == EPERM || refusal == ENOSYS) {
      return std::string("no memory policy: set_mempolicy is not permitted here (") +
             ::strerror(refusal) + "), so memory comes from where a process first touches it";
    }
    return "no memory policy for nodes " + usable.to_string() + ": " + ::strerror(refusal);
  }
  if (usable == nodes) return "";
  return "memory policy on nodes " + usable.to_string() + " of the planned " + nodes.to_string() +
         ": the others are not allowed";
}

std::string read_memory_policy() {
  // The kernel refuses a mask that is shorter than its own.
  for (std::size_t words = 16; words <= kMostMaskWords; words *= 2) {
    std::vector<unsigned long> mask(words);
    int mode = 0;
    if (::syscall(SYS_get_mempolicy, &mode, mask.data(), words * kBitsPerWord, nullptr, 0UL) != 0) {
      if (errno == EINVAL) continue;
      return "";
    }
    const CpuSet nodes = set_of(mask);
    mode &= ~MPOL_MODE_FLAGS;
    if (mode == MPOL_DEFAULT) return "default";
    if (mode == MPOL_LOCAL || nodes.empty()) return "local";
    if (mode == MPOL_PREFERRED || mode == kPreferredMany) return "preferred:" + nodes.to_string();
    if (mode == MPOL_BIND) return "bind:" + nodes.to_string();
    if (mode == MPOL_INTERLEAVE) return "interleave:" + nodes.to_string();
    return "policy " + std::to_string(mode) + ":" + nodes.to_string();
  }
  return "";
}

}  // namespace muster::agent
