// What would change this process for good (limits, signals, namespaces, seccomp) is tried in a
// copy.
#pragma once

#include <csignal>
#include <exception>
#include <functional>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

namespace muster::test {

inline const std::string kSkip = "SKIP: ";  // a body that cannot be tried here returns this + why

// Runs `body` in a forked process and returns what it returned: "" for success, else what is wrong.
inline std::string in_forked_process(const std::function<std::string()>& body) {
  auto pipe = make_pipe();
  if (!pipe) return "no pipe";
  const pid_t pid = ::fork();
  if (pid < 0) return "no fork";
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::string said;
    try {
      said = body();
    } catch (const std::exception& error) {
      said = std::string("exception: ") + error.what();
    }
    static_cast<void>(write_all(pipe->write_end, said));
    ::_exit(0);
  }
  pipe->write_end.reset();
  std::string said;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(pipe->read_end.get(), buffer, sizeof buffer)) > 0;) {
    said.append(buffer, static_cast<std::size_t>(got));
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    said += " (the forked process ended with wait status " + std::to_string(status) + ")";
  }
  return said;
}

}  // namespace muster::test

// The claim holds in a forked process; skips where it cannot be tried.
#define MUSTER_EXPECT_IN_FORK(...)                                                   \
  do {                                                                               \
    const std::string muster_said_ = ::muster::test::in_forked_process(__VA_ARGS__); \
    if (muster_said_.starts_with(::muster::test::kSkip)) {                           \
      GTEST_SKIP() << muster_said_.substr(::muster::test::kSkip.size());             \
    }                                                                                \
    EXPECT_EQ(muster_said_, "");                                                     \
  } while (false)
