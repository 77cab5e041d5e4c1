#include "launcher/exec/leases.h"

#include <algorithm>
#include <csignal>
#include <set>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;
using Making = LeaseDirectory::Making;

LeaseRecord record_of(const std::string& run_id, CpuSet cpus,
                      std::vector<std::string> inside = {}) {
  return {{run_id, 4711, std::move(cpus), {}}, "2026-11-23T06:15:00Z", std::move(inside)};
}

std::vector<std::string> runs_of(const std::vector<LeaseRecord>& records) {
  std::vector<std::string> runs;
  for (const LeaseRecord& record : records) runs.push_back(record.held.run_id);
  return runs;
}

class LeasesTest : public test::ScratchTest {
 protected:
  fs::path place() const { return scratch() / "leases"; }

  Result<LeaseDirectory> open(Making making = Making::kIfMissing) const {
    return LeaseDirectory::open({{"MUSTER_LEASE_DIR", place().string()}}, making);
  }

  // A run whose launcher is killed while it has these.
  void leave_stale_lease(const std::string& run_id) const {
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto directory = open();
      auto lease = directory->take(record_of(run_id, {0}));
      ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(pid, nullptr, 0);
  }

  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(place()), fs::directory_iterator()));
  }
};

TEST_F(LeasesTest, TellOthersWhatARunHasUntilItIsReleased) {
  auto directory = open();
  ASSERT_TRUE(directory);
  LeaseRecord record = record_of("run-a", {0, 1, 2, 8}, {"outer"});
  record.held.gpus = {"GPU-1", "0001:00:00.0"};
  auto lease = directory->take(record);
  ASSERT_TRUE(lease) << lease.error().message;

  const auto seen = open()->read();
  ASSERT_EQ(runs_of(seen), std::vector<std::string>{"run-a"});
  EXPECT_EQ(seen[0].held.cpus, (CpuSet{0, 1, 2, 8}));
  EXPECT_EQ(seen[0].held.pid, 4711);
  EXPECT_EQ(seen[0].held.gpus, record.held.gpus);
  EXPECT_EQ(seen[0].since, record.since);
  EXPECT_EQ(seen[0].inside, record.inside);

  lease->release();
  EXPECT_TRUE(open()->read().empty());
  EXPECT_EQ(files(), 0U);
}

TEST_F(LeasesTest, OfAKilledLauncherAreStaleAndTheNextStartRemovesThem) {
  leave_stale_lease("dead");
  ASSERT_EQ(files(), 1U);
  auto directory = open();
  ASSERT_TRUE(directory);
  EXPECT_TRUE(directory->read().empty()) << "nobody locks it";
  EXPECT_EQ(files(), 1U) << "looking changes nothing";
  auto alive = directory->take(record_of("alive", {1}));
  ASSERT_TRUE(alive);

  ASSERT_TRUE(directory->lock());
  EXPECT_EQ(runs_of(directory->read()), std::vector<std::string>{"alive"});
  EXPECT_EQ(files(), 1U);
}

// A launcher that is another process's child or is PID 1 of a namespace: nothing of that matters.
TEST_F(LeasesTest, LiveAsLongAsTheirLauncherWhateverItsPidIsTaken) {
  auto directory = open();
  ASSERT_TRUE(directory);
  LeaseRecord record = record_of("run-a", {0});
  record.held.pid = 999'999'999;  // there is no such process here
  auto lease = directory->take(record);
  ASSERT_TRUE(directory->lock());
  EXPECT_EQ(directory->read().size(), 1U);
}

TEST_F(LeasesTest, AreNotInheritedByWhatTheLauncherStarts) {
  auto directory = open();
  ASSERT_TRUE(directory);
  auto input = make_pipe();  // the child lives until this test closes its end
  ASSERT_TRUE(input);
  const pid_t launcher = ::fork();
  if (launcher == 0) {
    auto lease = open()->take(record_of("dead", {0}));
    auto until_exec = make_pipe();
    if (::fork() == 0) {
      ::dup2(input->read_end.get(), STDIN_FILENO);
      ::execlp("cat", "cat", nullptr);
      ::_exit(127);
    }
    until_exec->write_end.reset();
    char byte = 0;
    static_cast<void>(::read(until_exec->read_end.get(), &byte, 1));
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(launcher, nullptr, 0);
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(directory->read().empty());
}

// Each start takes the first core that is free, and holds it until all have chosen.
TEST_F(LeasesTest, KeepStartsAtTheSameTimeFromChoosingTheSameCores) {
  constexpr int kStarts = 8;
  auto go = make_pipe();
  auto chosen = make_pipe();
  auto end = make_pipe();
  ASSERT_TRUE(go && chosen && end);
  std::vector<pid_t> starts;
  for (int i = 0; i < kStarts; ++i) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      go->write_end.reset();
      end->write_end.reset();
      char byte = 0;
      static_cast<void>(::read(go->read_end.get(), &byte, 1));  // its end: now
      auto directory = open();
      char core = 100;
      Result<Lease> lease = Lease();
      if (directory && directory->lock()) {
        CpuSet taken;
        for (const auto& each : directory->read()) taken = taken.united(each.held.cpus);
        core = 0;
        while (taken.contains(core)) ++core;
        lease = directory->take(record_of("run-" + std::to_string(::getpid()), {core}));
        if (!lease) core = 101;
        directory->unlock();
      }
      static_cast<void>(::write(chosen->write_end.get(), &core, 1));
      static_cast<void>(::read(end->read_end.get(), &byte, 1));
      ::_exit(0);
    }
    starts.push_back(pid);
  }
  chosen->write_end.reset();
  go->write_end.reset();
  std::multiset<int> cores;
  char core = 0;
  while (cores.size() < kStarts && ::read(chosen->read_end.get(), &core, 1) == 1) {
    cores.insert(core);
  }
  end->write_end.reset();
  for (const pid_t pid : starts) ::waitpid(pid, nullptr, 0);
  EXPECT_EQ(cores, (std::multiset<int>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST_F(LeasesTest, DoNotWaitForeverForAStartThatStandsStill) {
  auto stopped = open();
  ASSERT_TRUE(stopped && stopped->lock());
  auto directory = open();
  ASSERT_TRUE(directory);
  const auto locked = directory->lock();
  ASSERT_FALSE(locked);
  EXPECT_EQ(locked.error().message,
            "another start has held the lock of " + place().string() + " for 2.0 s");
  stopped->unlock();
  EXPECT_TRUE(directory->lock());
}

TEST_F(LeasesTest, LieInADirectoryThatIsOursAlone) {
  fs::create_directory(scratch() / "elsewhere");
  fs::create_symlink(scratch() / "elsewhere", place());
  EXPECT_FALSE(open()) << "a link may lead anywhere";
  fs::remove(place());

  fs::create_directory(place());
  ::chmod(place().c_str(), 0777);
  const auto open_to_all = open();
  ASSERT_FALSE(open_to_all);
  EXPECT_EQ(open_to_all.error().message, place().string() + " may be written by others");
  ::chmod(place().c_str(), 0700);
  EXPECT_TRUE(open());

  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(place().c_str(), 12345, 12345), 0);
    const auto foreign = open();
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().message, place().string() + " belongs to user 12345");
  }
}

TEST_F(LeasesTest, LeaveNothingBehindWhereOnlyLookedFor) {
  EXPECT_FALSE(open(Making::kIfThere));
  EXPECT_FALSE(fs::exists(place()));
  ASSERT_TRUE(open());
  EXPECT_TRUE(open(Making::kIfThere));
  struct stat info {};
  ASSERT_EQ(::stat(place().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0700U);
}

TEST_F(LeasesTest, LeaveFilesOfOthersAlone) {
  auto directory = open();
  ASSERT_TRUE(directory);
  write("leases/notes.txt", "mine");
  write("leases/lease-precious.json", "mine");
  ASSERT_TRUE(directory->lock());
  EXPECT_TRUE(directory->read().empty());
  EXPECT_EQ(files(), 2U);
}

TEST_F(LeasesTest, ThatNoMusterWroteHoldNothing) {
  auto directory = open();
  ASSERT_TRUE(directory);
  std::vector<Fd> locked;
  int number = 0;
  for (const char* text : {"", "[]", "{", R"({"cpus": 7})", R"({"cpus": "0-"})", "\xff"}) {
    const fs::path path = write("leases/lease-0000000" + std::to_string(number++) + ".json", text);
    locked.push_back(*open_file(path, O_RDWR));
    ASSERT_EQ(::flock(locked.back().get(), LOCK_EX), 0);
  }
  for (const LeaseRecord& record : directory->read()) {
    EXPECT_TRUE(record.held.cpus.empty());
    EXPECT_TRUE(record.held.gpus.empty());
  }
}

TEST(HeldByOthers, LeavesOutTheRunsAround) {
  const std::vector<LeaseRecord> records = {record_of("outer", {0, 1}),
                                            record_of("middle", {0}, {"outer"}),
                                            record_of("other", {2}, {"elsewhere"})};
  const auto ids = [](const std::vector<plan::HeldByRun>& held) {
    std::vector<std::string> runs;
    for (const auto& each : held) runs.push_back(each.run_id);
    return join(runs, " ");
  };
  EXPECT_EQ(ids(held_by_others(records, "")), "outer middle other");
  EXPECT_EQ(ids(held_by_others(records, "outer")), "middle other");
  EXPECT_EQ(ids(held_by_others(records, "middle")), "other");
  EXPECT_EQ(join(runs_around(records, "middle"), " "), "outer middle");
  EXPECT_EQ(join(runs_around(records, "unknown"), " "), "unknown");
  EXPECT_TRUE(runs_around(records, "").empty());
}

plan::LaunchPlan plan_with_two_ranks() {
  plan::LaunchPlan plan;
  plan.ranks.resize(2);
  plan.ranks[0].cpuset = {0, 1};
  plan.ranks[1].cpuset = {4};
  plan.ranks[0].gpus.resize(2);
  plan.ranks[0].gpus[0].uuid = "GPU-b";
  plan.ranks[0].gpus[1].uuid = "GPU-a";
  plan.ranks[1].gpus.resize(2);
  plan.ranks[1].gpus[0].uuid = "GPU-a";
  plan.ranks[1].gpus[1].bus_id = "0001:00:00.0";
  return plan;
}

TEST(HeldByPlan, IsWhatItsBoundRanksHave) {
  const auto held = held_by_plan(plan_with_two_ranks(), config::Binder::kAgent);
  EXPECT_EQ(held.cpus, (CpuSet{0, 1, 4}));
  EXPECT_EQ(held.gpus, (std::vector<std::string>{"0001:00:00.0", "GPU-a", "GPU-b"}));
}

TEST(HeldByPlan, IsNoCoreOfARunThatIsNotBound) {
  EXPECT_TRUE(held_by_plan(plan_with_two_ranks(), config::Binder::kNone).cpus.empty());
  plan::LaunchPlan oversubscribed = plan_with_two_ranks();
  for (auto& rank : oversubscribed.ranks) rank.bound = false;
  EXPECT_TRUE(held_by_plan(oversubscribed, config::Binder::kAgent).cpus.empty());
}

}  // namespace
}  // namespace muster::exec
