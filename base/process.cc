// The child side between fork and exec is one noexcept function that calls only async-signal-safe
// functions; everything that allocates is prepared before.  It reports {stage, errno} over a
// close-on-exec pipe, so a failed exec is never mistaken for the program's own exit code.

#include "base/process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cstddef>
#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "base/files.h"
#include "base/process_limits.h"
#include "base/text.h"

namespace muster {
namespace {

// Everything that the child needs, laid out before the fork.
struct Prepared {
  std::vector<std::string> candidates;  // files to try, as execvp would
  std::vector<char*> argv;
  std::vector<char*> shell_argv;  // for a script without "#!": sh, file, argv[1..]
  std::vector<char*> environment;
};

char* c_string(const std::string& text) {
  return const_cast<char*>(text.c_str());  // exec's prototype lacks const; it does not write
}

Prepared prepare(const ChildSpec& spec) {
  Prepared prepared;
  if (spec.program.find('/') != std::string::npos) {
    prepared.candidates.push_back(spec.program);
  } else if (!spec.program.empty()) {
    for (const std::string& directory : split(spec.search_path, ':')) {
      prepared.candidates.push_back((directory.empty() ? "." : directory) + "/" + spec.program);
    }
  }
  for (const std::string& word : spec.argv) prepared.argv.push_back(c_string(word));
  prepared.argv.push_back(nullptr);
  static const std::string shell_name = "sh";
  prepared.shell_argv.push_back(c_string(shell_name));
  prepared.shell_argv.push_back(nullptr);  // the file
  for (std::size_t i = 1; i < prepared.argv.size(); ++i) {
    prepared.shell_argv.push_back(prepared.argv[i]);
  }
  for (const std::string& variable : spec.environment) {
    prepared.environment.push_back(c_string(variable));
  }
  prepared.environment.push_back(nullptr);
  return prepared;
}

[[noreturn]] void fail_child(int report_fd, StartFailure::Stage stage) noexcept {
  const StartFailure failure{stage, errno};
  static_cast<void>(!::write(report_fd, &failure, sizeof failure));
  ::_exit(127);
}

// Those that /proc names.  Between fork and exec nothing may allocate: no opendir.
bool close_listed_on_exec() noexcept {
  const Fd directory(::open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return false;
  alignas(dirent64) char buffer[4096];
  long got = 0;
  while ((got = ::syscall(SYS_getdents64, directory.get(), buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < got;) {
      dirent64 entry;
      std::memcpy(&entry, buffer + at, offsetof(dirent64, d_name));
      int fd = 0;
      for (const char* digit = buffer + at + offsetof(dirent64, d_name);
           *digit >= '0' && *digit <= '9'; ++digit) {
        fd = 10 * fd + (*digit - '0');
      }
      if (fd > 2) ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // "." and "..": 0
      at += entry.d_reclen;
    }
  }
  return got == 0;
}

// Inherited descriptors of whoever started us must not be held open by a rank for days.
void close_others_on_exec() noexcept {
#ifdef SYS_close_range
  constexpr unsigned kCloexec = 1U << 2;
  if (::syscall(SYS_close_range, 3U, ~0U, kCloexec) == 0) return;
#endif
  if (close_listed_on_exec()) return;
  for (int fd = 3; fd < 1024; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool redirect(int from, int to) noexcept {
  return from < 0 || ::dup2(from, to) == to;
}

// Shells run a file without "#!" themselves, but not an empty one or a program of another machine.
bool looks_like_text(const char* path) noexcept {
  char head[256];
  const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return true;  // may be executed and not read: sh will say so
  const ssize_t got = ::read(file.get(), head, sizeof head);
  return got > 0 && std::memchr(head, '\0', static_cast<std::size_t>(got)) == nullptr;
}

void exec_candidates(Prepared& prepared) noexcept {
  int remembered = ENOENT;
  for (const std::string& candidate : prepared.candidates) {
    ::execve(candidate.c_str(), prepared.argv.data(), prepared.environment.data());
    if (errno == ENOEXEC) {
      if (looks_like_text(candidate.c_str())) {
        prepared.shell_argv[1] = c_string(candidate);
        ::execve("/bin/sh", prepared.shell_argv.data(), prepared.environment.data());
      } else {
        errno = ENOEXEC;
      }
    }
    // Like execvp: a file that may not be executed is remembered, the search goes on.
    if (errno == EACCES) {
      remembered = EACCES;
    } else if (errno != ENOENT && errno != ENOTDIR) {
      return;
    }
  }
  errno = remembered;
}

[[noreturn]] void run_child(const ChildSpec& spec, Prepared& prepared, pid_t parent,
                            int report_fd) noexcept {
  using Stage = StartFailure::Stage;
  if (spec.new_process_group && ::setpgid(0, 0) != 0) fail_child(report_fd, Stage::kSetup);
  if (spec.parent_death_signal != 0 && !set_parent_death_signal(spec.parent_death_signal, parent)) {
    ::_exit(127);  // the parent is gone: nobody is left to tell
  }
  if (!redirect(spec.stdin_fd, 0) || !redirect(spec.stdout_fd, 1) || !redirect(spec.stderr_fd, 2)) {
    fail_child(report_fd, Stage::kSetup);
  }
  for (const ResourceLimit& limit : spec.limits) {
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &limit.value) != 0) {
      fail_child(report_fd, Stage::kSetup);
    }
  }
  if (!spec.working_directory.empty() && ::chdir(spec.working_directory.c_str()) != 0) {
    fail_child(report_fd, Stage::kWorkingDirectory);
  }
  close_others_on_exec();
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  exec_candidates(prepared);
  fail_child(report_fd, Stage::kExec);
}

std::vector<pid_t> read_children_file(const std::string& path) {
  std::vector<pid_t> children;
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             &std::fclose);
  if (!file) return children;
  int pid = 0;
  while (std::fscanf(file.get(), "%d", &pid) == 1) children.push_back(pid);
  return children;
}

// All processes whose parent is `parent`, from /proc/PID/stat: "pid (name) state ppid …", where the
// name may hold anything.
std::vector<pid_t> children_by_parent(pid_t parent) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const auto pid = parse_integer(entry.path().filename().string());
    if (!pid) continue;
    const auto stat = read_file(entry.path() / "stat");
    if (!stat) continue;
    const std::size_t after_name = stat->rfind(')');
    int ppid = 0;
    char state = 0;
    if (after_name != std::string::npos &&
        std::sscanf(stat->c_str() + after_name + 1, " %c %d", &state, &ppid) == 2 &&
        ppid == parent) {
      children.push_back(static_cast<pid_t>(*pid));
    }
  }
  return children;
}

}  // namespace

int StartFailure::exit_code() const {
  return stage == Stage::kExec && (error_number == ENOENT || error_number == ENOTDIR) ? 127 : 126;
}

std::string StartFailure::describe(const ChildSpec& spec) const {
  const std::string why = std::string(": ") + ::strerror(error_number);
  switch (stage) {
    case Stage::kFork: {
      const std::string limits = error_number == EAGAIN ? process_limits() : "";
      return "starting a process" + why + (limits.empty() ? "" : ": " + limits);
    }
    case Stage::kWorkingDirectory: return "entering " + spec.working_directory + why;
    case Stage::kSetup: return "preparing the process" + why;
    case Stage::kExec: break;
  }
  const auto problem = format_problem(spec);
  if (problem) return "executing " + spec.program + ": " + problem->text;
  if (error_number == ENOENT && spec.program.find('/') == std::string::npos) {
    return "executing " + spec.program + ": not found on PATH";
  }
  return "executing " + spec.program + why;
}

std::optional<RunProblem> StartFailure::format_problem(const ChildSpec& spec) const {
  if (stage != Stage::kExec || (error_number != ENOENT && error_number != ENOEXEC)) {
    return std::nullopt;
  }
  const auto file = program_file(spec);
  return file ? run_problem(*file) : std::nullopt;
}

std::optional<std::filesystem::path> program_file(const ChildSpec& spec) {
  const std::filesystem::path directory = spec.working_directory;
  if (spec.program.find('/') == std::string::npos) {
    const auto found = find_program(spec.program, spec.search_path);
    if (!found) return std::nullopt;
    return directory / *found;
  }
  const std::filesystem::path file = directory / spec.program;
  if (::access(file.c_str(), F_OK) != 0) return std::nullopt;
  return file;
}

tl::expected<Child, StartFailure> Child::start(const ChildSpec& spec) {
  Prepared prepared = prepare(spec);
  auto report = make_pipe();
  if (!report) return tl::unexpected(StartFailure{StartFailure::Stage::kFork, errno});

  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return tl::unexpected(StartFailure{StartFailure::Stage::kFork, errno});
  if (pid == 0) run_child(spec, prepared, parent, report->write_end.get());

  Child child(pid, open_pidfd(pid), spec.new_process_group);
  report->write_end.reset();
  StartFailure failure;
  ssize_t got = 0;
  do {
    got = ::read(report->read_end.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(sizeof failure)) return child;
  child.reap();
  return tl::unexpected(failure);
}

Child::Child(pid_t pid, Fd pidfd, bool own_group)
    : pid_(pid), pidfd_(std::move(pidfd)), own_group_(own_group) {}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pidfd_(std::move(other.pidfd_)),
      own_group_(other.own_group_) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  std::swap(own_group_, other.own_group_);
  return *this;
}

Child::~Child() {
  if (pid_ <= 0) return;
  signal_group(SIGKILL);
  reap();
}

void Child::signal(int signal_number) const {
  if (pid_ > 0) ::kill(pid_, signal_number);
}

void Child::signal_group(int signal_number) const {
  if (pid_ <= 0) return;
  // Once each: many programs take a second SIGTERM or SIGINT for "at once".
  const bool in_own_group = own_group_ && ::getpgid(pid_) == pid_;
  if (own_group_) ::kill(-pid_, signal_number);
  if (!in_own_group) ::kill(pid_, signal_number);
}

std::optional<Reaped> Child::try_reap() {
  return wait(WNOHANG);
}

Reaped Child::reap() {
  return wait(0).value_or(Reaped{ExitStatus::signaled(SIGKILL), {}});
}

std::optional<Reaped> Child::wait(int options) {
  if (pid_ <= 0) return std::nullopt;
  int status = 0;
  Reaped reaped;
  pid_t got = 0;
  do {
    got = ::wait4(pid_, &status, options, &reaped.usage);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  pid_ = 0;
  pidfd_.reset();
  // Reaped by nobody else by design; should it happen all the same, the end is still an end.
  reaped.status = got > 0 ? ExitStatus::from_wait(status) : ExitStatus::signaled(SIGKILL);
  return reaped;
}

Fd open_pidfd(pid_t pid) {
#ifdef SYS_pidfd_open
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
#else
  static_cast<void>(pid);
  return Fd();
#endif
}

bool set_parent_death_signal(int signal_number, pid_t parent) {
  return ::prctl(PR_SET_PDEATHSIG, signal_number) == 0 && ::getppid() == parent;
}

void become_child_subreaper() {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

std::vector<pid_t> children_of_this_process() {
  return children_of(::getpid());
}

std::vector<pid_t> children_of(pid_t pid) {
  const std::string process = "/proc/" + std::to_string(pid);
  // Not every kernel has the children files (CONFIG_PROC_CHILDREN; gVisor).
  static const bool have_children_files = ::access("/proc/thread-self/children", R_OK) == 0;
  if (!have_children_files) return children_by_parent(pid);
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(process + "/task", error)) {
    const auto of_task = read_children_file((task.path() / "children").string());
    children.insert(children.end(), of_task.begin(), of_task.end());
  }
  return children;
}

char process_state(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat) return 'X';
  const std::size_t after_name = stat->rfind(") ");
  return after_name + 2 < stat->size() ? (*stat)[after_name + 2] : 'X';
}

bool has_ended(pid_t pid) {
  const char state = process_state(pid);
  return state == 'Z' || state == 'X';
}

std::vector<std::string> own_environment() {
  std::vector<std::string> variables;
  for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

namespace detail {

bool reap_or_kill_once(pid_t pid, int& killed) {
  int status = 0;
  const pid_t got = ::waitpid(pid, &status, WNOHANG);
  if (got != 0) return true;
  if (::kill(pid, SIGKILL) == 0) ++killed;
  return ::waitpid(pid, &status, WNOHANG) != 0;
}

void pause_briefly() {
  const timespec pause{0, 1'000'000};
  ::nanosleep(&pause, nullptr);
}

}  // namespace detail
}  // namespace muster
