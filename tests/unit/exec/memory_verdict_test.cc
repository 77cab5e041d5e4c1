#include "launcher/exec/memory_verdict.h"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::exec {
namespace {

using protocol::MemoryFacts;
using testing::HasSubstr;
using testing::Not;

// Rank 1, process 4711, that SIGKILL ended in /job, which has a limit and counts.
class MemoryVerdictTest : public testing::Test {
 protected:
  MemoryVerdictTest() {
    rank_.rank = 1;
    rank_.end = plan::RankEnd::kExited;
    rank_.status = ExitStatus::signaled(SIGKILL);
    rank_.training_pid = 4711;
    rank_.usage.max_rss_bytes = 480 << 20;
    facts_.set_cgroup("/job");
    facts_.set_limited("/job");
    facts_.set_limit_bytes(512 << 20);
    facts_.set_peak_bytes(512 << 20);
    facts_.set_late_kills(1);
    facts_.set_late_ms(3'100);
  }

  void logged(int pid, const std::string& cgroup = "/job", const std::string& limited = "/job") {
    facts_.set_kernel_log(MemoryFacts::READ);
    protocol::OomKill& kill = *facts_.add_logged();
    kill.set_pid(pid);
    kill.set_name("python3");
    kill.set_cgroup(cgroup);
    kill.set_limited(limited);
  }

  void judge(std::string_view last_words = "", const Company& company = {}) {
    rank_.evidence.clear();
    rank_.cause.clear();
    judge_memory(facts_, last_words, company, rank_);
  }

  std::string kinds() const {
    std::string all;
    for (const auto& each : rank_.evidence) all += (all.empty() ? "" : " ") + each.kind;
    return all;
  }
  std::string text() const { return rank_.evidence.empty() ? "" : rank_.evidence.front().text; }

  MemoryFacts facts_;
  plan::RankOutcome rank_;
};

TEST_F(MemoryVerdictTest, TheKernelsLogNamesTheProcess) {
  facts_.set_kills(1);
  facts_.set_sharers(3);
  logged(4711);
  judge();
  EXPECT_EQ(rank_.cause, "oom");
  EXPECT_EQ(kinds(), "oom_kill");
  EXPECT_EQ(text(),
            "the kernel's OOM killer ended process 4711 (python3): memory cgroup /job was at its "
            "limit of 512.0 MiB; the process itself had used up to 480.0 MiB");
  EXPECT_NE(rank_.evidence[0].hint, "");
}

TEST_F(MemoryVerdictTest, ALogThatDoesNotSayWhoseLimitItWasIsEnough) {
  facts_.set_kills(1);
  logged(4711, "", "?");
  judge();
  EXPECT_EQ(rank_.cause, "oom");
  EXPECT_THAT(text(), HasSubstr("its memory cgroup /job was out of memory, limit 512.0 MiB, peak"));
}

TEST_F(MemoryVerdictTest, TheMachineWasOutOfMemory) {
  facts_.set_kills(1);
  logged(4711, "/job", "");
  judge();
  EXPECT_EQ(rank_.cause, "oom");
  EXPECT_THAT(text(), HasSubstr("the whole machine was out of memory"));
}

TEST_F(MemoryVerdictTest, TheCountIsEnoughWhenNobodyElseCanBeMeant) {
  facts_.set_kills(1);
  judge();
  EXPECT_EQ(rank_.cause, "oom");
  EXPECT_EQ(text(),
            "its memory cgroup /job counted 1 OOM kill while it ran, limit 512.0 MiB, peak 512.0 "
            "MiB, and nothing but this rank is in it; the process itself had used up to 480.0 MiB");
}

TEST_F(MemoryVerdictTest, ASharedCgroupWithoutALogMakesItLikelyOnly) {
  facts_.set_kills(1);
  facts_.set_sharers(2);
  judge();
  EXPECT_EQ(rank_.cause, "oom_likely");
  EXPECT_THAT(text(), HasSubstr("the cgroup also has 2 processes of others"));
  judge("", {.killed_with_it = 3});
  EXPECT_THAT(text(), HasSubstr("of the 3 ranks that SIGKILL ended there 1 at most can be meant"));
}

TEST_F(MemoryVerdictTest, AnEarlierKillInASharedCgroupMayHaveBeenAnothers) {
  facts_.set_kills(1);
  facts_.set_late_kills(0);
  for (const int sharers : {2, 0}) {  // who was killed, or its children, may be gone
    facts_.set_sharers(sharers);
    judge();
    EXPECT_EQ(rank_.cause, "");
    EXPECT_EQ(kinds(), "oom_unknown");
  }
  facts_.set_sharers(2);
  judge();
  EXPECT_EQ(text(),
            "whether it was killed for memory is not known: its memory cgroup /job counted 1 OOM "
            "kill while it ran, limit 512.0 MiB, peak 512.0 MiB, but none in its last 3.1 s; the "
            "process itself had used up to 480.0 MiB; the cgroup also has 2 processes of others");
}

TEST_F(MemoryVerdictTest, OfASmallProcessInASharedCgroupItIsNotKnown) {
  constexpr std::uint64_t kMiB = 1 << 20;
  facts_.set_kills(1);
  facts_.set_sharers(1);
  rank_.usage.max_rss_bytes = 50 * kMiB;
  judge("", {1, 100 * kMiB, 50 * kMiB});
  EXPECT_EQ(kinds(), "oom_unknown") << "together its ranks leave most of the memory to others";
  EXPECT_THAT(text(), Not(HasSubstr("but none")));
  judge("", {1, 500 * kMiB, 450 * kMiB});
  EXPECT_EQ(kinds(), "oom_unknown") << "another rank is much larger";
  judge("", {1, 500 * kMiB, 60 * kMiB});
  EXPECT_EQ(rank_.cause, "oom_likely") << "ten ranks of one size";
  facts_.set_sharers(0);
  judge("", {1, 50 * kMiB, 50 * kMiB});
  EXPECT_EQ(rank_.cause, "oom") << "alone: what it wrote to /dev/shm is not in its own size";
}

TEST_F(MemoryVerdictTest, NothingCountedIsAKillFromOutside) {
  judge();
  EXPECT_EQ(rank_.cause, "killed_from_outside");
  EXPECT_EQ(kinds(), "killed_from_outside");
  EXPECT_THAT(text(), HasSubstr("counted no OOM kill while it ran"));
  EXPECT_EQ(rank_.evidence[0].hint, "");
}

TEST_F(MemoryVerdictTest, AKillOfASiblingIsNotTakenForItsOwn) {
  facts_.set_kills(1);
  facts_.set_sharers(2);
  logged(9);
  judge();
  EXPECT_EQ(rank_.cause, "killed_from_outside");
  EXPECT_EQ(kinds(), "killed_from_outside oom_kill_of_other");
  EXPECT_THAT(rank_.evidence[1].text, HasSubstr("process 9 (python3) was killed for memory"));
}

TEST_F(MemoryVerdictTest, KillsOfOtherCgroupsAreNoNews) {
  facts_.set_kills(0);
  logged(9, "/other", "/other");
  judge();
  EXPECT_EQ(kinds(), "killed_from_outside");
}

TEST_F(MemoryVerdictTest, NumbersOfAnotherPidNamespaceProveNothing) {
  facts_.set_kills(1);
  facts_.set_sharers(1);
  logged(4711);
  facts_.set_kernel_log(MemoryFacts::OTHER_PIDS);
  judge();
  EXPECT_EQ(rank_.cause, "oom_likely");
}

TEST_F(MemoryVerdictTest, AMoveThatNobodySawCountsBelow) {
  facts_.set_kills_below(1);
  judge();
  EXPECT_EQ(rank_.cause, "oom_likely");
  EXPECT_THAT(text(), HasSubstr("a cgroup below /job counted 1 OOM kill"));
}

TEST_F(MemoryVerdictTest, WithoutACgroupTheMachinesCountDecides) {
  facts_.set_unreadable("it is in no memory cgroup");
  judge();
  EXPECT_EQ(rank_.cause, "");
  EXPECT_EQ(text(),
            "whether it was killed for memory cannot be known: its memory cgroup cannot be read "
            "(it is in no memory cgroup)");
  facts_.set_machine_kills(2);
  judge();
  EXPECT_EQ(rank_.cause, "");
  EXPECT_THAT(text(), HasSubstr("the whole machine counted 2 OOM kills while it ran"));
  facts_.set_machine_kills(0);
  judge();
  EXPECT_EQ(rank_.cause, "killed_from_outside");
}

TEST_F(MemoryVerdictTest, AWorkerThatWasKilledExplainsTheExitOfItsRank) {
  rank_.status = ExitStatus::exited(1);
  facts_.set_kills(1);
  judge();
  EXPECT_EQ(rank_.cause, "oom_of_child");
  EXPECT_EQ(kinds(), "oom_kill_of_other");
  EXPECT_THAT(text(), HasSubstr("one of the processes that it had started was killed for memory"));
  EXPECT_NE(rank_.evidence[0].hint, "");
}

TEST_F(MemoryVerdictTest, AProcessThatTheLastWordsNameIsItsOwn) {
  rank_.status = ExitStatus::exited(1);
  facts_.set_kills(1);
  facts_.set_sharers(4);
  logged(815);
  judge("RuntimeError: DataLoader worker (pid 8150) is killed by signal: Killed.");
  EXPECT_EQ(rank_.cause, "");
  EXPECT_THAT(text(), HasSubstr("process 815 (python3) was killed for memory; the cgroup also has "
                                "4 processes of others"));
  judge("RuntimeError: DataLoader worker (pid 815) is killed by signal: Killed.");
  EXPECT_EQ(rank_.cause, "oom_of_child");
  EXPECT_THAT(text(), HasSubstr("which its last lines name"));
}

TEST_F(MemoryVerdictTest, AShellSaysThatItsChildWasKilled) {
  rank_.status = ExitStatus::exited(137);
  facts_.set_kills(1);
  facts_.set_sharers(4);
  judge();
  EXPECT_EQ(rank_.cause, "oom_of_child");
}

TEST_F(MemoryVerdictTest, AnOrdinaryFailureHasNothingToDoWithMemory) {
  rank_.status = ExitStatus::exited(1);
  judge();
  EXPECT_EQ(kinds(), "");
  facts_.set_unreadable("it is in no memory cgroup");
  facts_.set_machine_kills(3);
  judge();
  EXPECT_EQ(kinds(), "");
}

}  // namespace
}  // namespace muster::exec
