#include "launcher/exec/pipe_budget.h"

#include <fcntl.h>
#include <grp.h>
#include <unistd.h>

#include <vector>

#include <gtest/gtest.h>

#include "base/fd.h"
#include "tests/support/forked.h"

namespace muster::exec {
namespace {

constexpr int kKiB = 1024;
constexpr int kMiB = 1024 * kKiB;
constexpr PipeLimits kUsual{4096, 16384, kMiB};  // 64 MiB

TEST(PipeBudget, AFewPipesAreAsLargeAsIsOfUse) {
  EXPECT_EQ(pipe_size_within(kUsual, 2), kMiB);
  EXPECT_EQ(pipe_size_within(kUsual, 16), kMiB);
  EXPECT_EQ(pipe_size_within(kUsual, 18), 512 * kKiB);
  EXPECT_EQ(pipe_size_within(kUsual, 64), 256 * kKiB);
}

TEST(PipeBudget, ManyPipesStayAsTheyAre) {
  EXPECT_EQ(pipe_size_within(kUsual, 66), 0);
  EXPECT_EQ(pipe_size_within(kUsual, 100'000), 0);
  EXPECT_EQ(pipe_size_within(kUsual, 0), 0);
}

TEST(PipeBudget, NeverTakesMoreThanAQuarter) {
  for (const int pages : {16, 100, 1000, 4096, 16384, 1 << 20}) {
    for (int pipes = 1; pipes <= 70; ++pipes) {
      const long taken = static_cast<long>(pipe_size_within({4096, pages, kMiB}, pipes)) * pipes;
      EXPECT_LE(taken, static_cast<long>(pages) * 4096 / 4) << pages << " pages, " << pipes;
    }
  }
  EXPECT_EQ(pipe_size_within({65536, 1024, kMiB}, 16), kMiB) << "pages of 64 KiB: 64 MiB too";
}

TEST(PipeBudget, RespectsTheLargestPipe) {
  EXPECT_EQ(pipe_size_within({4096, 16384, 128 * kKiB}, 2), 128 * kKiB);
  EXPECT_EQ(pipe_size_within({4096, 16384, 64 * kKiB}, 2), 0);
  EXPECT_EQ(pipe_size_within({4096, 0, kMiB}, 64), kMiB) << "0 means no limit";
}

TEST(PipeBudget, ReadsTheLimitsOfThisMachine) {
  const PipeLimits limits = read_pipe_limits();
  EXPECT_GE(limits.page_size, 4096);
  if (::access("/proc/sys/fs/pipe-max-size", R_OK) == 0) {
    EXPECT_GE(limits.largest, 4096);
  }
}

// As a user of its own, because all pipes of a user count.
TEST(PipeBudget, LeavesTheUserAQuarter) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    constexpr uid_t kNobodysUser = 3'217'465;
    if (::geteuid() != 0) return test::kSkip + "needs root, to become another user";
    if (::setgroups(0, nullptr) != 0 ||
        ::setresgid(kNobodysUser, kNobodysUser, kNobodysUser) != 0 ||
        ::setresuid(kNobodysUser, kNobodysUser, kNobodysUser) != 0) {
      return test::kSkip + "no other user can be had here";
    }
    const PipeLimits limits = read_pipe_limits();
    if (limits.user_pages != 16384 || limits.largest != kMiB || limits.page_size != 4096) {
      return test::kSkip + "the limits of pipes are not the usual ones";
    }
    if (affordable_pipe_size(16) != kMiB) return "a user without pipes has room for 16 MiB";
    if (affordable_pipe_size(16) != kMiB) return "asking takes nothing";
    std::vector<Pipe> held;
    const auto hold = [&](int pipes) {
      for (int i = 0; i < pipes; ++i) {
        held.push_back(std::move(*make_pipe()));
        if (::fcntl(held.back().read_end.get(), F_SETPIPE_SZ, kMiB) != kMiB) return false;
      }
      return true;
    };
    if (!hold(30)) return "30 MiB are not to be had";
    if (affordable_pipe_size(16) != kMiB) return "with 30 of 64 MiB taken, 16 leave enough";
    if (!hold(8)) return "38 MiB are not to be had";
    if (affordable_pipe_size(16) != 0) return "with 38 of 64 MiB taken, 16 leave too little";
    if (affordable_pipe_size(2) != kMiB) return "two MiB leave enough";
    const Pipe next = std::move(*make_pipe());
    return ::fcntl(next.read_end.get(), F_GETPIPE_SZ) == 64 * kKiB ? ""
                                                                   : "others' pipes are small now";
  });
}

}  // namespace
}  // namespace muster::exec
