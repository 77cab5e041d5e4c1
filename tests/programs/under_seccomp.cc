// Becomes PROGRAM under a seccomp filter, as containers and sandboxes have:
//   under_seccomp --errno EPERM|ENOSYS CALL[,CALL…] -- PROGRAM [ARGUMENTS…]
//   under_seccomp --list                             prints the calls that it knows, one a line
//
// Every CALL fails with that error, in PROGRAM and in all that it starts; that it does is tried
// before PROGRAM is executed.  Privileges can no longer be gained, as in such places.
#include "program.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <vector>

namespace {

struct Call {
  std::string_view name;
  long number;
};

// What Muster, glibc and Open MPI use where they can, and do without where they cannot.
constexpr Call kCalls[] = {
    {"clone3", SYS_clone3},
    {"close_range", SYS_close_range},
    {"copy_file_range", SYS_copy_file_range},
    {"execveat", SYS_execveat},
    {"faccessat2", SYS_faccessat2},
    {"get_mempolicy", SYS_get_mempolicy},
    {"io_uring_setup", SYS_io_uring_setup},
    {"mbind", SYS_mbind},
    {"memfd_create", SYS_memfd_create},
    {"openat2", SYS_openat2},
    {"pidfd_getfd", SYS_pidfd_getfd},
    {"pidfd_open", SYS_pidfd_open},
    {"pidfd_send_signal", SYS_pidfd_send_signal},
    {"process_vm_readv", SYS_process_vm_readv},
    {"process_vm_writev", SYS_process_vm_writev},
    {"renameat2", SYS_renameat2},
    {"sched_setaffinity", SYS_sched_setaffinity},
    {"set_mempolicy", SYS_set_mempolicy},
    {"statx", SYS_statx},
};

Call call_named(std::string_view name) {
  for (const Call& call : kCalls) {
    if (call.name == name) return call;
  }
  program::die("the call '" + std::string(name) + "' is not in its table; --list shows it");
}

std::vector<Call> calls_of(std::string_view list) {
  std::vector<Call> calls;
  while (true) {
    const std::size_t comma = list.find(',');
    calls.push_back(call_named(list.substr(0, comma)));
    if (comma == std::string_view::npos) return calls;
    list.remove_prefix(comma + 1);
  }
}

int error_named(const std::string& name) {
  if (name == "EPERM") return EPERM;
  if (name == "ENOSYS") return ENOSYS;
  program::die("--errno " + name + ": it is EPERM or ENOSYS");
}

sock_filter statement(unsigned code, unsigned value) {
  return {static_cast<std::uint16_t>(code), 0, 0, value};
}

void deny(const std::vector<Call>& calls, int error) {
  std::vector<sock_filter> filter{statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const Call& call : calls) {
    // The next statement when it is this call, else the one after that.
    filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<unsigned>(call.number)});
    filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)));
  }
  filter.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog all{static_cast<unsigned short>(filter.size()), filter.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) program::die_errno("no_new_privs");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) != 0) program::die_errno("the filter");
}

// With these arguments no call does anything where it is not denied.
void try_call(const Call& call, int error) {
  errno = 0;
  if (syscall(call.number, -1L, -1L, -1L, -1L, -1L, -1L) != -1 || errno != error) {
    program::die(std::string(call.name) + " is not denied: " + std::strerror(errno));
  }
}

}  // namespace

int main(int argc, char** argv) {
  int error = EPERM;
  std::vector<Call> calls;
  bool separated = false;
  program::Arguments arguments(argc, argv);
  int used = 1;
  while (!separated && arguments.next()) {
    const std::string_view name = arguments.name();
    ++used;
    if (name == "--list") {
      for (const Call& call : kCalls) std::printf("%s\n", std::string(call.name).c_str());
      return 0;
    } else if (name == "--errno") {
      error = error_named(arguments.value());
      ++used;
    } else if (name == "--") {
      separated = true;
    } else if (name.starts_with('-')) {
      arguments.unknown();
    } else {
      calls = calls_of(name);
    }
  }
  if (calls.empty() || used >= argc) program::die("it needs calls, --, and a program");
  deny(calls, error);
  for (const Call& call : calls) try_call(call, error);
  execvp(argv[used], argv + used);
  program::die_errno(std::string("executing ") + argv[used]);
}
