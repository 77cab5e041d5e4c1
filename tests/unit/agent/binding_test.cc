#include "rank_agent/binding.h"

#include <cerrno>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/cpu_set.h"
#include "tests/support/child_output.h"
#include "tests/support/forked.h"
#include "tests/support/seccomp.h"

namespace muster::agent {
namespace {

protocol::RankSpec bound_to(const std::string& cpuset, const std::string& memory_nodes = "") {
  protocol::RankSpec spec;
  spec.set_bind(true);
  spec.set_cpuset(cpuset);
  spec.set_memory_nodes(memory_nodes);
  return spec;
}

std::string first_cpu() {
  return std::to_string(CpuSet::parse(read_affinity(0)).value().to_vector().front());
}

TEST(BindingTest, ReadsTheAffinityThatTheKernelShows) {
  const auto output = test::run_child_process(
      test::shell("sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status"));
  EXPECT_EQ(read_affinity(::getpid()) + "\n", output.text);
}

TEST(BindingTest, WhatIsAppliedIsReadBackAndInherited) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string cpu = first_cpu();
    if (const std::string note = apply_binding(bound_to(cpu)); !note.empty()) {
      return test::kSkip + note;
    }
    if (read_affinity(0) != cpu) return "the kernel says " + read_affinity(0);
    const auto child = Child::start(test::shell("exec sleep 100"));
    return read_affinity(child->pid()) == cpu ? "" : "the child has another mask";
  });
}

TEST(BindingTest, AnUnboundRankIsLeftAlone) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string before = read_affinity(0);
    protocol::RankSpec spec = bound_to(first_cpu(), "0");
    spec.set_bind(false);
    if (!apply_binding(spec).empty()) return "there is a note";
    return read_affinity(0) == before ? "" : "the mask changed";
  });
}

TEST(BindingTest, WhatCannotBeHadIsANoteAndTheMaskStays) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string before = read_affinity(0);
    const std::string note = apply_binding(bound_to("60000"));
    if (note.find("not bound to CPUs 60000: ") != 0) return "note: " + note;
    return read_affinity(0) == before ? "" : "the mask changed";
  });
}

TEST(BindingTest, ABadListIsANote) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    for (const std::string list : {"", "x", "3-1"}) {
      const std::string expected = "not bound: bad CPU list \"" + list + "\"";
      if (apply_binding(bound_to(list)) != expected) return apply_binding(bound_to(list));
    }
    return "";
  });
}

TEST(BindingTest, BothNotesAreTold) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string note = apply_binding(bound_to("x", "y"));
    return note == "not bound: bad CPU list \"x\"; no memory policy: bad node list \"y\"" ? ""
                                                                                          : note;
  });
}

TEST(BindingTest, MemoryIsPreferredOnTheNodesOfTheSpec) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string note = apply_binding(bound_to(first_cpu(), "0"));
    if (!note.empty()) return test::kSkip + note;  // a kernel or sandbox without NUMA policies
    const auto output = test::run_child_process(test::shell("cat /proc/self/numa_maps"));
    if (output.text.empty()) return test::kSkip + "no numa_maps to read the policy from";
    return output.text.find(" prefer") != std::string::npos ? "" : output.text.substr(0, 200);
  });
}

TEST(BindingTest, CpusThatAreNotThereAreLeftOutAndTold) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string cpu = first_cpu();
    const std::string planned = cpu + ",60000";
    const std::string note = apply_binding(bound_to(planned));
    if (read_affinity(0) != cpu) return "the kernel says " + read_affinity(0);
    const std::string expected = "bound to CPUs " + cpu + " of the planned " + planned +
                                 ": the others are offline or no longer allowed";
    return note == expected ? "" : note;
  });
}

TEST(BindingTest, AForbiddenCallIsToldWithoutAnythingOfTheRank) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string before = read_affinity(0);
    if (!test::forbid({SYS_sched_setaffinity}, EPERM)) return test::kSkip + "no seccomp";
    const std::string note = apply_binding(bound_to(first_cpu()));
    if (read_affinity(0) != before) return "the mask changed";
    return note == "not bound: sched_setaffinity is not permitted here (Operation not permitted)"
               ? ""
               : note;
  });
}

TEST(BindingTest, AProcessThatIsGoneHasNoAffinity) {
  EXPECT_EQ(read_affinity(0x7ffffff0), "");
}

}  // namespace
}  // namespace muster::agent
