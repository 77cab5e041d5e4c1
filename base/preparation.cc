#include "base/preparation.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <deque>

#include "base/fd.h"
#include "base/text.h"

namespace muster {
namespace {

using namespace std::chrono_literals;
using Clock = Preparation::Clock;

constexpr auto kGrace = 2s;  // between SIGTERM and SIGKILL
constexpr auto kCheckInterval = 500ms;
constexpr auto kPollWithoutPidfd = 50ms;
constexpr std::size_t kLongestLine = 64 << 10;
constexpr std::size_t kTailBytes = 16 << 10;
constexpr std::size_t kLongestLogLine = 300;

Failure stopped(const StopAsked& asked) {
  return fail(ErrorCode::kStopped, "stopped by " + asked.by);
}

// Bytes in, whole lines out; a line that never ends is cut.
class Lines {
 public:
  void add(std::string_view bytes, const std::function<void(std::string_view)>& on_line) {
    for (const char c : bytes) {
      if (c == '\n' || c == '\r') {
        flush(on_line);
      } else if (line_.size() < kLongestLine) {
        line_ += c;
      }
    }
  }
  void flush(const std::function<void(std::string_view)>& on_line) {
    if (!line_.empty()) on_line(line_);
    line_.clear();
  }

 private:
  std::string line_;
};

// One task while it runs.
class Running {
 public:
  static Result<Running> start(HelperTask& task);

  const HelperTask& task() const { return *task_; }
  bool ended() const { return !child_; }
  int exit_fd() const { return child_.exit_fd(); }
  int output_fd() const { return output_.get(); }

  void read_output();
  // An Error when it failed, and when it is not to go on.
  Result<> look(Clock::time_point now);
  void signal(int signal_number) const {
    if (child_) child_.signal_group(signal_number);
  }
  void reap_if_ended() {
    if (child_ && child_.try_reap()) child_ = Child();
  }
  Failure failed(Error error) const;

 private:
  HelperTask* task_ = nullptr;
  Child child_;
  Fd output_;
  Lines lines_;
  std::uintmax_t log_from_ = 0;
  Clock::time_point began_ = Clock::now();
  Clock::time_point checked_ = Clock::now();
};

Result<Running> Running::start(HelperTask& task) {
  Running running;
  running.task_ = &task;
  MUSTER_TRY_ASSIGN(const Fd nothing, open_file("/dev/null", O_RDWR));
  Fd log;
  if (!task.log.empty()) {
    MUSTER_TRY_ASSIGN(log, open_file(task.log, O_WRONLY | O_CREAT | O_APPEND));
    std::error_code ignored;
    running.log_from_ = std::filesystem::file_size(task.log, ignored);
  }
  const int words = log ? log.get() : nothing.get();
  task.spec.stdin_fd = nothing.get();
  task.spec.stdout_fd = words;
  task.spec.stderr_fd = words;
  Pipe pipe;
  if (task.on_line) {
    MUSTER_TRY_ASSIGN(pipe, make_pipe());
    MUSTER_TRY(set_nonblocking(pipe.read_end, true));
    task.spec.stdout_fd = pipe.write_end.get();
  }
  auto child = Child::start(task.spec);
  if (!child) {
    return fail(task.failure, task.name + ": " + child.error().describe(task.spec), task.hint);
  }
  running.child_ = std::move(*child);
  running.output_ = std::move(pipe.read_end);
  return running;
}

void Running::read_output() {
  if (!output_) return;
  char bytes[16 << 10];
  for (int reads = 0; reads < 16; ++reads) {
    const ssize_t size = ::read(output_.get(), bytes, sizeof bytes);
    if (size > 0) {
      lines_.add({bytes, static_cast<std::size_t>(size)}, task_->on_line);
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    if (size == 0 || errno != EAGAIN) {
      lines_.flush(task_->on_line);
      output_.reset();
    }
    return;
  }
}

Failure Running::failed(Error error) const {
  error.message = task_->name + ": " + error.message;
  if (error.hint.empty()) error.hint = task_->hint;
  const auto said = last_log_lines(task_->log, log_from_);
  if (!said.empty()) {
    error.message += "; its last words:";
    for (const std::string& line : said) error.message += "\n    " + line;
  }
  return Failure(std::move(error));
}

Result<> Running::look(Clock::time_point now) {
  read_output();
  if (const auto end = child_.try_reap()) {
    child_ = Child();
    read_output();
    if (output_) lines_.flush(task_->on_line);
    output_.reset();
    if (end->status.ok()) return {};
    return failed({task_->failure, task_->spec.argv.front() + " " + end->status.describe()});
  }
  if (task_->deadline && now - began_ >= *task_->deadline) {
    return failed({task_->failure, "it took longer than " + format_duration(*task_->deadline)});
  }
  if (task_->check && now - checked_ >= kCheckInterval) {
    checked_ = now;
    if (auto checked = task_->check(); !checked) return failed(std::move(checked).error());
  }
  return {};
}

using RunningTasks = std::deque<Running>;

bool all_ended(const RunningTasks& tasks) {
  return std::all_of(tasks.begin(), tasks.end(), [](const Running& each) { return each.ended(); });
}

void wait_for_news(const RunningTasks& tasks, const StopSource& stops,
                   std::chrono::milliseconds at_most) {
  std::vector<pollfd> fds;
  for (const int fd : stops.fds()) fds.push_back({fd, POLLIN, 0});
  for (const Running& each : tasks) {
    if (each.ended()) continue;
    if (each.exit_fd() >= 0) {
      fds.push_back({each.exit_fd(), POLLIN, 0});
    } else {
      at_most = std::min(at_most, std::chrono::milliseconds(kPollWithoutPidfd));
    }
    if (each.output_fd() >= 0) fds.push_back({each.output_fd(), POLLIN, 0});
  }
  ::poll(fds.data(), fds.size(), static_cast<int>(at_most.count()));
}

// Asked, then made to.
void end_all(RunningTasks& tasks) {
  for (const Running& each : tasks) each.signal(SIGTERM);
  const auto deadline = Clock::now() + kGrace;
  while (!all_ended(tasks) && Clock::now() < deadline) {
    for (Running& each : tasks) each.reap_if_ended();
    if (!all_ended(tasks)) ::poll(nullptr, 0, 10);
  }
  tasks.clear();  // what is left is killed and reaped
}

}  // namespace

Result<> Preparation::run(std::vector<HelperTask> tasks) {
  RunningTasks running;
  const auto give_up = [&](Failure failure) -> Result<> {
    end_all(running);
    return failure;
  };
  for (HelperTask& task : tasks) {
    MUSTER_TRY(check_stop());
    auto started = Running::start(task);
    if (!started) return give_up(Failure(std::move(started).error()));
    running.push_back(std::move(*started));
  }
  while (!all_ended(running)) {
    wait_for_news(running, stops_, 100ms);
    if (const auto& asked = stops_.poll()) return give_up(stopped(*asked));
    for (Running& each : running) {
      if (each.ended()) continue;
      if (auto looked = each.look(Clock::now()); !looked) {
        return give_up(Failure(std::move(looked).error()));
      }
    }
  }
  return {};
}

Result<bool> Preparation::wait_until(const std::function<Result<bool>()>& ready,
                                     Clock::time_point deadline,
                                     std::chrono::milliseconds interval) {
  while (true) {
    MUSTER_TRY(check_stop());
    MUSTER_TRY_ASSIGN(const bool is_ready, ready());
    if (is_ready) return true;
    if (Clock::now() >= deadline) return false;
    wait_for_news({}, stops_, interval);
  }
}

Result<> Preparation::check_stop() {
  if (const auto& asked = stops_.poll()) return stopped(*asked);
  return {};
}

std::vector<std::string> last_log_lines(const std::filesystem::path& log, std::uintmax_t from,
                                        std::size_t most) {
  std::vector<std::string> lines;
  auto file = open_file(log, O_RDONLY);
  if (!file) return lines;
  const auto end = ::lseek(file->get(), 0, SEEK_END);
  const auto first = std::max<std::intmax_t>(static_cast<std::intmax_t>(from),
                                             end - static_cast<std::intmax_t>(kTailBytes));
  std::string text(kTailBytes, '\0');
  const ssize_t size = ::pread(file->get(), text.data(), text.size(), first);
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t stop = std::min(text.find_first_of("\r\n", at), text.size());
    std::string line = text.substr(at, std::min(stop - at, kLongestLogLine));
    std::replace_if(
        line.begin(), line.end(),
        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
    if (line.find_first_not_of(' ') != std::string::npos) lines.push_back(std::move(line));
    at = stop + 1;
  }
  if (lines.size() > most) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(most));
  }
  return lines;
}

}  // namespace muster
