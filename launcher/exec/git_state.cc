#include "launcher/exec/git_state.h"

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

bool is_in_work_tree(fs::path directory) {
  std::error_code error;
  directory = fs::canonical(directory, error);
  if (error) return false;
  while (true) {
    if (fs::exists(directory / ".git", error)) return true;
    if (!directory.has_relative_path()) return false;
    directory = directory.parent_path();
  }
}

std::string read_from_start(const Fd& file) {
  std::string text;
  char buffer[4096];
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(file.get(), buffer, sizeof buffer, at);
    if (got <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    at += got;
  }
}

}  // namespace

GitQuestion GitQuestion::ask(const fs::path& directory, const std::string& search_path) {
  GitQuestion question;
  question.in_work_tree_ = is_in_work_tree(directory);
  if (!question.in_work_tree_) return question;
  if (!find_program("git", search_path)) {
    question.problem_ = "no git is on PATH, so the commit is not recorded";
    return question;
  }
  // By itself, because a status may take long where the commit does not.
  question.start(directory, search_path, {"rev-parse", "--verify", "--quiet", "HEAD"});
  question.start(directory, search_path, {"status", "--porcelain=v2", "--branch", "--", "."});
  question.start(directory, search_path, {"ls-remote", "--get-url"});
  return question;
}

void GitQuestion::start(const fs::path& directory, const std::string& search_path,
                        std::vector<std::string> words) {
  Asked asked;
  asked.words = "git " + words.front();
  asked.output = Fd(::memfd_create("git", MFD_CLOEXEC));
  const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!asked.output || !nothing) {
    problem_ = asked.words + " could not be started";
    return;
  }
  ChildSpec spec;
  spec.program = "git";
  spec.search_path = search_path;
  // It is only asked: no lock is taken, no program that the tree names is run, nobody is asked for
  // a password.
  spec.argv = {"git", "--no-optional-locks", "-c", "core.fsmonitor=false",
               "-C",  directory.string()};
  spec.argv.insert(spec.argv.end(), words.begin(), words.end());
  for (const std::string& variable : own_environment()) {
    // Of a hook that we are started from: about another tree.
    if (!variable.starts_with("GIT_")) spec.environment.push_back(variable);
  }
  spec.environment.emplace_back("GIT_TERMINAL_PROMPT=0");
  spec.environment.emplace_back("LC_ALL=C");
  spec.stdin_fd = nothing.get();
  spec.stdout_fd = asked.output.get();
  spec.stderr_fd = nothing.get();
  spec.parent_death_signal = SIGKILL;
  auto started = Child::start(spec);
  if (!started) {
    problem_ = started.error().describe(spec);
    return;
  }
  asked.child = std::move(*started);
  asked_.push_back(std::move(asked));
}

bool GitQuestion::wait(Asked& asked, Clock::time_point deadline) {
  constexpr auto kLookAgain = std::chrono::milliseconds(5);  // where there is no pidfd
  while (true) {
    const auto reaped = asked.child.try_reap();
    const auto left = deadline - Clock::now();
    // Where there is no commit yet, that is no problem.
    if (reaped && !reaped->status.ok() && asked.words != "git rev-parse") {
      problem_ = asked.words + " " + reaped->status.describe() +
                 "; see: git -C . status, in source_directory";
    }
    if (reaped) return reaped->status.ok();
    if (left <= Clock::duration::zero()) {
      problem_ = asked.words + " took too long and was ended";
      asked.child = Child();
      return false;
    }
    pollfd ended{asked.child.exit_fd(), POLLIN, 0};
    const auto pause =
        ended.fd >= 0 ? std::chrono::ceil<std::chrono::milliseconds>(left) : kLookAgain;
    ::poll(&ended, 1, static_cast<int>(pause.count()));
  }
}

std::optional<plan::GitState> GitQuestion::answer(Clock::time_point deadline) {
  if (!in_work_tree_) return std::nullopt;
  plan::GitState state;
  for (Asked& asked : asked_) {
    if (!wait(asked, deadline)) continue;
    const std::string text = read_from_start(asked.output);
    if (asked.words == "git rev-parse") {
      state.commit = text.substr(0, text.find('\n'));
    } else if (asked.words == "git status") {
      plan::read_git_status(text, state);
    } else if (const std::string url = text.substr(0, text.find('\n')); url != "origin") {
      // "origin" is what it says where there is no remote.
      state.remote = plan::url_without_credentials(url);
    }
  }
  state.problem = problem_;
  return state;
}

}  // namespace muster::exec
