#include "base/sandbox.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/forked.h"
#include "tests/support/seccomp.h"

namespace muster {
namespace {

using test::forbid;

// What clone3 answers where it makes no process.
int answer_of_clone3() {
  return ::syscall(SYS_clone3, nullptr, 0) < 0 ? errno : 0;
}

TEST(SandboxTest, WithoutAFilterNothingIsChanged) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    const int before = answer_of_clone3();
    if (!answer_denied_calls()) return "an error";
    if (answer_of_clone3() != before) return "clone3 answers otherwise";
    const int filters = ::prctl(PR_GET_SECCOMP);
    return filters == 0 || before != EINVAL ? "" : "a filter was installed";
  });
}

TEST(SandboxTest, WhereClone3IsDeniedItBecomesUnknownSoThatThreadsStart) {
  for (const int denial : {EPERM, EACCES}) {
    MUSTER_EXPECT_IN_FORK([denial]() -> std::string {
      if (!forbid({SYS_clone3}, denial)) return test::kSkip + "no seccomp filter allowed";
      if (answer_of_clone3() != denial) return "clone3 is not denied";
      if (const auto made = answer_denied_calls(); !made) return made.error().message;
      if (answer_of_clone3() != ENOSYS) return "clone3 does not answer ENOSYS";
      return sandbox_notes().empty() ? "no note of it" : "";
    });
  }
}

// As `test -x` in a shell asks.
TEST(SandboxTest, WhereFaccessat2OrStatxIsDeniedItBecomesUnknownToo) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (!forbid({SYS_faccessat2, SYS_statx}, EPERM)) {
      return test::kSkip + "no seccomp filter allowed";
    }
    if (::faccessat(AT_FDCWD, "/", X_OK, AT_EACCESS) == 0) return "faccessat2 is not denied";
    if (!answer_denied_calls()) return "an error";
    if (::faccessat(AT_FDCWD, "/", X_OK, AT_EACCESS) != 0) return "/ cannot be entered, it says";
    struct statx info {};
    if (::statx(AT_FDCWD, "/", 0, STATX_TYPE, &info) != 0) return "/ is not there, it says";
    return sandbox_notes().front().find("faccessat2, statx") != std::string::npos ? "" : "no note";
  });
}

TEST(SandboxTest, WhereClone3IsUnknownNothingIsToBeDone) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (!forbid({SYS_clone3}, ENOSYS)) return test::kSkip + "no seccomp filter allowed";
    if (!answer_denied_calls()) return "an error";
    return sandbox_notes().empty() ? "" : sandbox_notes().front();
  });
}

TEST(SandboxTest, WithoutAWayOutTheErrorSaysWhatToDo) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (!forbid({SYS_clone3, SYS_prctl}, EPERM)) {
      return test::kSkip + "no seccomp filter allowed";
    }
    const auto made = answer_denied_calls();
    if (made) return "no error";
    const Error& error = made.error();
    if (error.code != ErrorCode::kResources) return "another code";
    if (error.message !=
        "no thread can be started: the sandbox denies clone3: Operation not permitted") {
      return error.message;
    }
    return error.hint.find("ENOSYS") != std::string::npos ? "" : error.hint;
  });
}

TEST(SandboxTest, CopyingBetweenProcessesIsFoundOutByTrying) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (!can_copy_between_processes()) return test::kSkip + "it is denied here";
    if (!forbid({SYS_process_vm_writev}, ENOSYS)) return test::kSkip + "no seccomp filter allowed";
    return can_copy_between_processes() ? "it is denied and yet true" : "";
  });
}

}  // namespace
}  // namespace muster
