// Child processes: described by a value, started once, ended by a typed status.
//
// Fork only from the main thread: the parent-death signal belongs to the thread that forked.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "base/executable.h"
#include "base/exit_status.h"
#include "base/fd.h"
#include "muster/result.h"

namespace muster {

struct ResourceLimit {
  int resource = 0;  // RLIMIT_NOFILE, …
  rlimit value{};
};

struct ChildSpec {
  std::string program;                   // with a slash: that file; else searched on search_path
  std::string search_path;               // PATH of the child
  std::vector<std::string> argv;         // argv[0] included
  std::vector<std::string> environment;  // "NAME=value"
  std::string working_directory;         // "" inherits
  int stdin_fd = -1;                     // -1 inherits
  int stdout_fd = -1;
  int stderr_fd = -1;
  bool new_process_group = true;
  int parent_death_signal = 0;  // 0: none
  std::vector<ResourceLimit> limits;
};

// The file that exec would take for the child's program; nullopt when there is none.
std::optional<std::filesystem::path> program_file(const ChildSpec& spec);

// Why a child never became its program.
struct StartFailure {
  enum class Stage { kFork, kWorkingDirectory, kSetup, kExec };

  Stage stage = Stage::kFork;
  int error_number = 0;

  // As a shell has it: 127 when the program was not found, else 126.
  int exit_code() const;
  // "executing ./train: Permission denied"
  std::string describe(const ChildSpec& spec) const;
  // When exec found the program and the kernel does not run such a file: why.
  std::optional<RunProblem> format_problem(const ChildSpec& spec) const;
};

struct Reaped {
  ExitStatus status;
  rusage usage{};
};

// A child that is ours to reap.  Forgotten, it is killed with its process group and reaped.
class Child {
 public:
  // Returns after the child's exec, so that every later end is the program's own.
  static tl::expected<Child, StartFailure> start(const ChildSpec& spec);

  Child() = default;
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  explicit operator bool() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }

  // Readable once the child has ended; -1 where the kernel or a sandbox has no pidfd (SIGCHLD is
  // then the only notice, so callers watch both).
  int exit_fd() const { return pidfd_.get(); }

  // To the child alone, and to its process group (with what it started there).  A child that has
  // ended but is not reaped yet cannot be mistaken for another process.
  void signal(int signal_number) const;
  void signal_group(int signal_number) const;

  // The end, once: nullopt while it runs.
  std::optional<Reaped> try_reap();
  Reaped reap();  // waits

 private:
  Child(pid_t pid, Fd pidfd, bool own_group);
  std::optional<Reaped> wait(int options);

  pid_t pid_ = 0;
  Fd pidfd_;
  bool own_group_ = false;
};

// pidfd_open(2); no descriptor under EPERM and ENOSYS.
Fd open_pidfd(pid_t pid);

// Has the kernel send `signal_number` to this process when its parent dies, and tells whether
// `parent` was still there after that was arranged.
bool set_parent_death_signal(int signal_number, pid_t parent);

// Orphans of our descendants become our children.
void become_child_subreaper();

// Processes whose parent is this one, threads included; ended ones that nobody reaped too.
std::vector<pid_t> children_of_this_process();
std::vector<pid_t> children_of(pid_t pid);

// Whether the process runs no more, be it that nobody has reaped it.
bool has_ended(pid_t pid);

// Its state as in /proc/PID/stat ('R', 'S', 'T', 'D', 'Z', …); 'X' when there is no such process.
char process_state(pid_t pid);

// Kills every child of this process for which `spare(pid)` is false, and then those that thereby
// become our children, until none is left or `deadline` has passed.  Returns how many were killed.
// Children that `spare` keeps are neither killed nor reaped.
template <typename Spare>
int kill_children_until_none(Spare spare, std::chrono::steady_clock::time_point deadline);

// "NAME=value" for every variable of this process.
std::vector<std::string> own_environment();

namespace detail {
bool reap_or_kill_once(pid_t pid, int& killed);
void pause_briefly();
}  // namespace detail

template <typename Spare>
int kill_children_until_none(Spare spare, std::chrono::steady_clock::time_point deadline) {
  int killed = 0;
  while (true) {
    bool any = false;
    for (const pid_t pid : children_of_this_process()) {
      if (spare(pid)) continue;
      any = true;
      detail::reap_or_kill_once(pid, killed);
    }
    if (!any || std::chrono::steady_clock::now() >= deadline) return killed;
    detail::pause_briefly();
  }
}

}  // namespace muster
