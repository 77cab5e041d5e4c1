#include "rank_agent/placement_seen.h"

#include <sched.h>
#include <unistd.h>

#include <thread>

#include <gtest/gtest.h>

#include "base/cpu_set.h"
#include "rank_agent/binding.h"
#include "tests/support/child_output.h"
#include "tests/support/forked.h"

namespace muster::agent {
namespace {

std::vector<int> own_cpus() {
  return CpuSet::parse(read_affinity(0)).value().to_vector();
}

bool narrow_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

TEST(PolicyOfMapping, IsReadFromTheFirstLineOfNumaMaps) {
  EXPECT_EQ(policy_of_mapping("55c825cb9000 default file=/usr/bin/head mapped=2"), "default");
  EXPECT_EQ(policy_of_mapping("00400000 prefer:1 file=/usr/bin/python3.11"), "preferred:1");
  EXPECT_EQ(policy_of_mapping("00400000 prefer (many):0-1,4 file=/x"), "preferred:0-1,4");
  EXPECT_EQ(policy_of_mapping("00400000 bind=static:0-1 anon=3"), "bind:0-1");
  EXPECT_EQ(policy_of_mapping("00400000 interleave:0-3\n00500000 bind:1\n"), "interleave:0-3");
  EXPECT_EQ(policy_of_mapping("00400000 local anon=1"), "local");
  for (const char* line : {"", " ", "x", "00400000", "not an address"}) {
    EXPECT_EQ(policy_of_mapping(line), "") << line;
  }
}

TEST(PlacementSeen, IsWhatTheKernelShowsOfAProcess) {
  const auto child = Child::start(test::shell("exec sleep 100"));
  ASSERT_TRUE(child);
  const auto seen = see_placement(child->pid());
  const auto shown = test::run_child_process(
      test::shell("sed -n 's/^\\(Cpus\\|Mems\\)_allowed_list:[[:space:]]*//p' /proc/self/status"));
  EXPECT_EQ(seen.cpus() + "\n" + seen.memory_nodes() + "\n", shown.text);
  EXPECT_GT(seen.seen_at_ns(), 0);
}

TEST(PlacementSeen, NamesTheProcessThatHasNarrowedItsMask) {
  if (own_cpus().size() < 2) GTEST_SKIP() << "needs two CPUs";
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const int cpu = own_cpus().back();
    const auto wide = Child::start(test::shell("exec sleep 100"));
    const auto narrow =
        Child::start(test::shell("exec taskset -c " + std::to_string(cpu) + " sleep 100"));
    if (!wide || !narrow) return "no child";
    for (int i = 0; i < 500 && read_affinity(narrow->pid()) != std::to_string(cpu); ++i) {
      ::usleep(10'000);
    }
    const auto seen = see_placement_again(wide->pid(), read_affinity(wide->pid()));
    if (seen.narrowed_count() != 1) return std::to_string(seen.narrowed_count()) + " of them";
    const auto& found = seen.narrowed(0);
    if (found.pid() != narrow->pid() || found.tid() != narrow->pid()) return "another process";
    if (found.cpus() != std::to_string(cpu)) return "on " + found.cpus();
    return found.name() == "sleep" || found.name() == "taskset" ? "" : "named " + found.name();
  });
}

TEST(PlacementSeen, NamesTheThreadOfAProcessBelowAnother) {
  if (own_cpus().size() < 2) GTEST_SKIP() << "needs two CPUs";
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const std::string mask = read_affinity(0);
    auto ready = make_pipe();
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::thread([&] {
        const bool narrowed = narrow_to(own_cpus().front());
        static_cast<void>(::write(ready->write_end.get(), narrowed ? "y" : "n", 1));
        ::pause();
      }).join();
    }
    char byte = 0;
    static_cast<void>(::read(ready->read_end.get(), &byte, 1));
    const auto seen = see_placement_again(child, mask);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (byte != 'y') return test::kSkip + "no affinity may be set";
    if (seen.narrowed_count() != 1) return std::to_string(seen.narrowed_count()) + " of them";
    if (seen.cpus() != mask) return "the process is on " + seen.cpus();
    const auto& found = seen.narrowed(0);
    return found.pid() == child && found.tid() != child ? "" : "another thread";
  });
}

TEST(PlacementSeen, TellsNothingOfARankThatIsAsItWas) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const auto child = Child::start(test::shell("exec sleep 100"));
    const auto seen = see_placement_again(child->pid(), read_affinity(child->pid()));
    return seen.narrowed_count() == 0 ? "" : "something differs";
  });
}

TEST(PlacementSeen, OfAProcessThatIsGoneIsEmpty) {
  const auto seen = see_placement_again(999'999'999, read_affinity(0));
  EXPECT_EQ(seen.cpus(), "");
  EXPECT_EQ(seen.memory_policy(), "");
}

}  // namespace
}  // namespace muster::agent
