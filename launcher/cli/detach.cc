#include "launcher/cli/detach.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "base/error_text.h"
#include "base/exit_code.h"
#include "base/exit_status.h"
#include "base/signals.h"
#include "base/text.h"

namespace muster::cli {
namespace {

constexpr auto kForwarded = {SIGINT, SIGTERM, SIGQUIT, SIGHUP};

// Pipes and files of whoever started us (a shell's `$(…)` waits for the end of one).
std::vector<int> inherited_descriptors() {
  std::vector<int> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir("/proc/self/fd"), &::closedir);
  if (!entries) return found;
  while (const dirent* entry = ::readdir(entries.get())) {
    const auto fd = parse_integer(entry->d_name);
    if (fd && *fd > STDERR_FILENO && *fd != ::dirfd(entries.get())) {
      found.push_back(static_cast<int>(*fd));
    }
  }
  return found;
}

void point_at_nothing(int fd) {
  const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (nothing) ::dup2(nothing.get(), fd);
}

struct Heard {
  std::string text;  // "<run id>\n<run directory>\n", or what there is of it
  int forwarded_signal = 0;
};

// Until the background has said its word, or ends.  A signal that would end the run in the
// foreground is handed on to it.
Heard listen_to(pid_t background, const Fd& word, const SignalFd& signals) {
  Heard heard;
  while (true) {
    pollfd watched[] = {{word.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
    if (::poll(watched, 2, -1) < 0 && errno != EINTR) return heard;
    while (const auto info = signals.read()) {
      heard.forwarded_signal = static_cast<int>(info->ssi_signo);
      ::kill(background, heard.forwarded_signal);
    }
    if (watched[0].revents == 0) continue;
    char buffer[4096];
    const ssize_t got = ::read(word.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return heard;
    heard.text.append(buffer, static_cast<std::size_t>(got));
  }
}

// It ended before all ranks had started, and has said why.
int exit_code_of(pid_t background, int forwarded_signal) {
  int status = 0;
  while (::waitpid(background, &status, 0) < 0 && errno == EINTR) {
  }
  const ExitStatus end = ExitStatus::from_wait(status);
  // Killed by our signal: it had not begun to read them, so nothing of the run was there yet.
  if (end.how == ExitStatus::How::kExited || end.value == forwarded_signal) {
    return end.as_exit_code();
  }
  const Error error{ErrorCode::kInternal,
                    "the launcher was " + end.describe() + " before all ranks had started",
                    "look at the newest run: `muster status`", std::nullopt};
  std::fputs(format_error(error).c_str(), stderr);
  return to_int(ExitCode::kInternal);
}

// All ranks had started by then; now they end.
int tell_stopped(const Heard& heard) {
  std::fprintf(stderr, "muster: run %s is ended by %s\n", split(heard.text, '\n')[0].c_str(),
               signal_name(heard.forwarded_signal).c_str());
  return 128 + heard.forwarded_signal;
}

int tell_started(pid_t background, const std::string& word, bool shows_runs_dir) {
  const auto lines = split(word, '\n');
  const std::string& run_id = lines[0];
  const std::string run = shows_runs_dir ? shell_quoted(lines[1]) : run_id;
  std::fprintf(stderr,
               "muster: run %s goes on in the background (process %d)\n"
               "  muster attach %s    shows its output and waits for its end\n"
               "  muster status %s    how its ranks fare\n"
               "  muster logs %s      what they wrote\n"
               "  muster cancel %s    ends it\n",
               run_id.c_str(), background, run.c_str(), run.c_str(), run.c_str(), run.c_str());
  if (std::printf("%s\n", run_id.c_str()) > 0 && std::fflush(stdout) == 0) return 0;
  // The run goes on all the same; a script that did not get its id must not think all is well.
  std::fputs("muster: error: its id could not be written to stdout\n", stderr);
  return to_int(ExitCode::kInternal);
}

}  // namespace

void Detachment::complete(const std::string& run_id, const std::string& run_directory,
                          const std::filesystem::path& log) {
  if (!word_) return;
  const Fd opened(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644));
  if (!opened || ::dup2(opened.get(), STDERR_FILENO) < 0) point_at_nothing(STDERR_FILENO);
  for (const int fd : inherited_) ::close(fd);
  inherited_.clear();
  // Nobody listens any more when the foreground was killed; the run goes on.
  static_cast<void>(write_all(word_, run_id + "\n" + run_directory + "\n"));
  word_.reset();
}

Result<Detached> Detached::fork(bool shows_runs_dir) {
  const std::vector<int> inherited = inherited_descriptors();
  MUSTER_TRY_ASSIGN(Pipe word, make_pipe());
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, nullptr, &before);
  sigset_t forwarded;
  ::sigemptyset(&forwarded);
  for (const int signal_number : kForwarded) ::sigaddset(&forwarded, signal_number);
  // Before the fork: a Ctrl-C must not end us and leave the background, which does not hear it.
  MUSTER_TRY_ASSIGN(SignalFd signals, SignalFd::block(forwarded));
  std::fflush(nullptr);
  const pid_t background = ::fork();
  if (background < 0) {
    return Failure(system_error(ErrorCode::kResources, "starting the background process"));
  }
  Detached detached;
  if (background == 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    ::setsid();
    point_at_nothing(STDIN_FILENO);
    point_at_nothing(STDOUT_FILENO);
    word.read_end.reset();
    detached.background = Detachment(std::move(word.write_end), inherited);
    return detached;
  }
  word.write_end.reset();
  const Heard heard = listen_to(background, word.read_end, signals);
  if (!heard.text.ends_with('\n')) {
    detached.exit_code = exit_code_of(background, heard.forwarded_signal);
  } else if (heard.forwarded_signal != 0) {
    detached.exit_code = tell_stopped(heard);
  } else {
    detached.exit_code = tell_started(background, heard.text, shows_runs_dir);
  }
  return detached;
}

}  // namespace muster::cli
