#include "rank_agent/outcome.h"

#include <csignal>

#include "tests/support/child_output.h"

namespace muster::agent {
namespace {

using namespace std::chrono_literals;
using protocol::TrainingEnded;

// Looks until the library is seen, or `patience` is over.
std::optional<std::string> library_of(pid_t pid, std::chrono::seconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (true) {
    if (auto name = find_mpi_library(pid)) return name;
    if (std::chrono::steady_clock::now() > deadline) return std::nullopt;
    muster::detail::pause_briefly();
  }
}

ChildSpec hello_of_another_mpi() {
  ChildSpec spec;
  spec.program = MUSTER_TEST_PROGRAMS "/fake_mpich_hello";
  spec.argv = {spec.program};
  return spec;
}

TEST(EndedMessageTest, ExitAndSignalAreDifferentFacts) {
  const auto exited = ended_message({ExitStatus::exited(9), {}}).ended();
  EXPECT_EQ(exited.how(), TrainingEnded::EXITED);
  EXPECT_EQ(exited.value(), 9);
  const auto killed = ended_message({{ExitStatus::How::kSignaled, 11, true}, {}}).ended();
  EXPECT_EQ(killed.how(), TrainingEnded::SIGNALED);
  EXPECT_EQ(killed.value(), 11);
  EXPECT_TRUE(killed.core_dumped());
}

TEST(EndedMessageTest, CarriesUsageInPlainUnitsAndTheTime) {
  Reaped reaped{ExitStatus::exited(0), {}};
  reaped.usage.ru_utime = {1, 500'000};
  reaped.usage.ru_stime = {0, 250'000};
  reaped.usage.ru_maxrss = 2048;  // KiB
  const std::int64_t before = realtime_ns();
  const auto ended = ended_message(reaped).ended();
  EXPECT_DOUBLE_EQ(ended.user_seconds(), 1.5);
  EXPECT_DOUBLE_EQ(ended.system_seconds(), 0.25);
  EXPECT_EQ(ended.max_rss_bytes(), 2048U * 1024U);
  EXPECT_GE(ended.ended_at_ns(), before);
  EXPECT_LE(ended.ended_at_ns(), realtime_ns());
}

TEST(ExecFailedMessageTest, SaysTheCodeAndThePhrase) {
  ChildSpec spec;
  spec.program = "./train";
  const auto ended = exec_failed_message({StartFailure::Stage::kExec, EACCES}, spec).ended();
  EXPECT_EQ(ended.how(), TrainingEnded::EXEC_FAILED);
  EXPECT_EQ(ended.value(), 126);
  EXPECT_EQ(ended.failure(), "executing ./train: Permission denied");
}

TEST(RefusedMessageTest, IsMustersOwnCode) {
  const auto ended = refused_message("RANK is 3, the plan says 5").ended();
  EXPECT_EQ(ended.how(), TrainingEnded::REFUSED);
  EXPECT_EQ(ended.value(), 70);
  EXPECT_EQ(ended.failure(), "RANK is 3, the plan says 5");
}

TEST(FindMpiLibraryTest, SeesTheLibraryThatAProcessMapped) {
  auto child = Child::start(hello_of_another_mpi());
  ASSERT_TRUE(child) << child.error().describe(hello_of_another_mpi());
  EXPECT_EQ(library_of(child->pid(), 20s), "libmpich.so.12");
}

TEST(FindMpiLibraryTest, SeesItInAProcessBelow) {
  ChildSpec spec = test::shell(hello_of_another_mpi().program + "; exit 0");
  auto child = Child::start(spec);
  ASSERT_TRUE(child);
  EXPECT_EQ(library_of(child->pid(), 20s), "libmpich.so.12");
}

TEST(FindMpiLibraryTest, AProgramWithoutMpiHasNone) {
  auto child = Child::start(test::shell("exec sleep 100"));
  ASSERT_TRUE(child);
  EXPECT_EQ(library_of(child->pid(), 0s), std::nullopt);
}

TEST(FindMpiLibraryTest, AProcessThatIsGoneHasNone) {
  EXPECT_EQ(find_mpi_library(0x7ffffff0), std::nullopt);
}

}  // namespace
}  // namespace muster::agent
