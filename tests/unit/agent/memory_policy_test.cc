#include "rank_agent/memory_policy.h"

#include <cerrno>
#include <sys/syscall.h>

#include <gtest/gtest.h>

#include "tests/support/forked.h"
#include "tests/support/seccomp.h"

namespace muster::agent {
namespace {

// What the policy is read back as after it was asked for; in a process of its own.
void expect_policy(const std::string& asked, const std::string& expected) {
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    if (read_memory_policy().empty()) return test::kSkip + "no memory policies here";
    const std::string note = set_memory_policy(asked, CpuSet{0});
    if (!note.empty()) return test::kSkip + note;
    const std::string got = read_memory_policy();
    // Where set_mempolicy is denied and there is one node alone, that is no note.
    if (got == "default") return test::kSkip + "set_mempolicy is denied here";
    return got == expected ? "" : "the kernel says " + got;
  });
}

TEST(MemoryPolicy, IsReadBackAsItWasAskedFor) {
  expect_policy("preferred", "preferred:0");
  expect_policy("strict", "bind:0");
  expect_policy("interleave", "interleave:0");
}

TEST(MemoryPolicy, OfAProcessThatAskedForNothingIsTheKernels) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string got = read_memory_policy();
    if (got.empty()) return test::kSkip + "no memory policies here";
    return got == "default" ? "" : got;
  });
}

TEST(MemoryPolicy, NodesThatAreNotAllowedAreLeftOutAndTold) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string note = set_memory_policy("strict", CpuSet{0, 900});
    if (note.find("set_mempolicy is not permitted") != std::string::npos) {
      return test::kSkip + note;
    }
    const std::string expected =
        "memory policy on nodes 0 of the planned 0,900: the others are not allowed";
    if (note != expected && !note.empty()) return note;
    const std::string got = read_memory_policy();
    return got == "bind:0" || got.empty() || got == "default" ? "" : got;
  });
}

TEST(MemoryPolicy, WithoutAnyAllowedNodeThereIsNone) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string note = set_memory_policy("strict", CpuSet{900});
    return note.find("no memory policy: of the nodes 900 none is allowed, only ") == 0 ? "" : note;
  });
}

// The only node of most machines that run this test: then nothing is lost, and nothing is told.
TEST(MemoryPolicy, ADenialWhereThereIsOneNodeAloneIsNoNote) {
  for (const int error : {EPERM, ENOSYS}) {
    MUSTER_EXPECT_IN_FORK([&]() -> std::string {
      const std::string other = set_memory_policy("preferred", CpuSet{900});
      if (other.find("only 0") == std::string::npos || other.find("only 0-") != std::string::npos) {
        return test::kSkip + "more than one NUMA node";
      }
      if (!test::forbid({SYS_set_mempolicy}, error)) return test::kSkip + "no seccomp";
      return set_memory_policy("strict", CpuSet{0});
    });
  }
}

TEST(MemoryPolicy, CannotBeReadWhereThatIsDenied) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (!test::forbid({SYS_get_mempolicy}, EPERM)) return test::kSkip + "no seccomp";
    return read_memory_policy();
  });
}

}  // namespace
}  // namespace muster::agent
