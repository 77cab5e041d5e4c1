#include "base/process_limits.h"

#include <sys/resource.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/forked.h"

namespace muster {
namespace {

std::filesystem::path recorded(const std::string& name) {
  return std::filesystem::path(MUSTER_TEST_DATA) / "root" / name;
}

// As root: its number of processes has no limit.
std::string in_cgroup(const std::string& name) {
  const std::string limits = process_limits(recorded(name));
  return limits.substr(0, limits.find(", "));
}

TEST(ProcessLimitsTest, OnesOwnCgroupOrAnyAboveItLimits) {
  EXPECT_EQ(in_cgroup("v2-limit"), "at most 64 processes and threads in this cgroup (pids.max)");
}

TEST(ProcessLimitsTest, TheTopCountsWhereTheHostsPathIsNotThere) {
  EXPECT_EQ(in_cgroup("v1-container"),
            "at most 32 processes and threads in this cgroup (pids.max)");
}

TEST(ProcessLimitsTest, AUsersLimitIsNamedWithTheUser) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const rlimit few{200, 200};
    ::setrlimit(RLIMIT_NPROC, &few);
    if (::geteuid() == 0) {
      if (!process_limits("/nowhere").empty()) return "a limit for root";
      if (::setuid(54321) != 0) return test::kSkip + "no other user may be taken on";
    }
    const std::string limits = process_limits("/nowhere");
    const std::string expected =
        "at most 200 processes and threads of user " + std::to_string(::geteuid()) + " (ulimit -u)";
    return limits == expected ? "" : limits;
  });
}

}  // namespace
}  // namespace muster
