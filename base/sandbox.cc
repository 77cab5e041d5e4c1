#include "base/sandbox.h"

#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

namespace muster {
namespace {

// A call that glibc does without on ENOSYS alone, tried in a way that changes nothing.  These
// numbers are the same on every architecture but Alpha, statx's aside.
struct Call {
  const char* name;
  unsigned number;
  long (*attempt)();
  int harmless_error;  // what the attempt gives where the call works; 0: it succeeds
};

const Call kCalls[] = {
    // A size below the smallest that the kernel takes: no process is made.
    {"clone3", SYS_clone3, [] { return ::syscall(SYS_clone3, nullptr, 0); }, EINVAL},
#ifdef SYS_faccessat2
    {"faccessat2", SYS_faccessat2,
     [] { return ::syscall(SYS_faccessat2, AT_FDCWD, "/", F_OK, AT_EACCESS); }, 0},
#endif
#ifdef SYS_statx
    {"statx", SYS_statx,
     [] {
       struct statx info {};
       return ::syscall(SYS_statx, AT_FDCWD, "/", 0, STATX_TYPE, &info);
     },
     0},
#endif
};

std::vector<std::string> answered;  // names of the calls, for the log

// The errno of a denial; 0 where the call works or is unknown to the kernel.
int denial_of(const Call& call) {
  if (call.attempt() >= 0 || errno == ENOSYS || errno == call.harmless_error) return 0;
  return errno;
}

sock_filter statement(unsigned code, unsigned value) {
  return {static_cast<std::uint16_t>(code), 0, 0, value};
}

// Of several filters that answer with an error, the kernel takes the youngest one's.
bool install_unknown(const std::vector<const Call*>& calls) {
  std::vector<sock_filter> statements{
      statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const Call* call : calls) {
    statements.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, call->number});
    statements.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  statements.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(statements.size()), statements.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0) return true;  // CAP_SYS_ADMIN
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

Result<> answer_denied_calls() {
  std::vector<const Call*> denied;
  for (const Call& call : kCalls) {
    if (denial_of(call) != 0) denied.push_back(&call);
  }
  if (denied.empty()) return {};
  if (install_unknown(denied)) {
    for (const Call* call : denied) answered.emplace_back(call->name);
    return {};
  }
  const Call& first = *denied.front();
  if (first.number != SYS_clone3) return {};  // some programs stumble, ours run
  Error error =
      system_error(ErrorCode::kResources, "no thread can be started: the sandbox denies clone3",
                   denial_of(first));
  error.hint =
      "let its seccomp profile answer ENOSYS to clone3, as Docker has done since 20.10.10, or "
      "start the container with --security-opt seccomp=unconfined";
  return Failure(std::move(error));
}

bool can_copy_between_processes() {
  char from = 1;
  char to = 0;
  const iovec local{&to, 1};
  const iovec remote{&from, 1};
  return ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0) == 1 &&
         ::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0) == 1;
}

std::vector<std::string> sandbox_notes() {
  std::vector<std::string> notes;
  if (!answered.empty()) {
    notes.push_back("the sandbox denies " + join(answered, ", ") +
                    ": this run gets ENOSYS for it, which glibc does without (no_new_privs is set "
                    "unless CAP_SYS_ADMIN is held)");
  }
  if (!can_copy_between_processes()) {
    notes.push_back(
        "the sandbox denies process_vm_readv: Open MPI is told to copy large messages through "
        "shared memory");
  }
  return notes;
}

}  // namespace muster
