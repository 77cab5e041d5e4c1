// Leaves processes behind that have left its process group and its session: fork, setsid, fork.
//
//   --pids FILE     appends the pid of every process left behind, one a line
//   --count N       processes left behind [2]
//   --hold-pipe     they keep stdout and stderr open
//   --ignore-term   they ignore SIGTERM, SIGINT and SIGHUP
//   --sleep S       how long they live [600]
//   --stay S        how long this process lives on after them [0]
//   --exit CODE     its exit code [0]
//
// It goes on only when all of them are there and their pids are written.
#include "program.h"

#include <fcntl.h>
#include <sys/wait.h>

#include <algorithm>

namespace {

struct Options {
  std::string pids_file;
  int count = 2;
  bool hold_pipe = false;
  bool ignore_term = false;
  double sleep = 600;
  double stay = 0;
  int exit_code = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    const std::string_view name = arguments.name();
    if (name == "--pids") {
      options.pids_file = arguments.value();
    } else if (name == "--count") {
      options.count = static_cast<int>(program::to_number(arguments.value()));
    } else if (name == "--hold-pipe") {
      options.hold_pipe = true;
    } else if (name == "--ignore-term") {
      options.ignore_term = true;
    } else if (name == "--sleep") {
      options.sleep = program::to_seconds(arguments.value());
    } else if (name == "--stay") {
      options.stay = program::to_seconds(arguments.value());
    } else if (name == "--exit") {
      options.exit_code = static_cast<int>(program::to_number(arguments.value()));
    } else {
      arguments.unknown();
    }
  }
  return options;
}

void record_own_pid(const std::string& path) {
  if (path.empty()) return;
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) program::die_errno(path);
  program::write_all(fd, std::to_string(getpid()) + "\n");
  close(fd);
}

void close_from_caller(bool hold_pipe) {
  const int nothing = open("/dev/null", O_RDWR);
  if (nothing < 0) program::die_errno("/dev/null");
  dup2(nothing, STDIN_FILENO);
  if (!hold_pipe) {
    dup2(nothing, STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
  }
  // A sandbox may allow a million descriptors; ours are among the first.
  const long limit = std::min(sysconf(_SC_OPEN_MAX), 4096L);
  for (int fd = 3; fd < limit; ++fd) close(fd);
}

[[noreturn]] void live_on(const Options& options, int ready_fd) {
  if (options.ignore_term) {
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) signal(number, SIG_IGN);
  }
  record_own_pid(options.pids_file);
  program::write_all(ready_fd, "r");
  close_from_caller(options.hold_pipe);
  program::sleep_seconds(options.sleep);
  _exit(0);
}

void leave_one_behind(const Options& options) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) program::die_errno("pipe");
  const pid_t child = fork();
  if (child < 0) program::die_errno("fork");
  if (child == 0) {
    setsid();
    if (fork() == 0) live_on(options, ready[1]);
    _exit(0);
  }
  close(ready[1]);
  waitpid(child, nullptr, 0);
  char byte = 0;
  if (read(ready[0], &byte, 1) != 1) program::die("the process to leave behind did not start");
  close(ready[0]);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  for (int i = 0; i < options.count; ++i) leave_one_behind(options);
  program::sleep_seconds(options.stay);
  return options.exit_code;
}
