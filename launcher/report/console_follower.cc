#include "launcher/report/console_follower.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/eventfd.h>

// Each round of the thread takes the sizes of the files, shows them up to there, then those lines
// of Muster's own that are older than the round, then the status line: what was stored before a
// line of Muster's is shown before it.  A round follows a wake-up at once but not sooner than 20 ms
// after the round before, so a flood costs 50 rounds a second and silence costs none.
namespace muster::report {
namespace {

constexpr auto kRoundInterval = std::chrono::milliseconds(20);
constexpr auto kPrintPatience = std::chrono::milliseconds(250);

}  // namespace

void ConsoleState::notify() {
  if (!woken.exchange(true, std::memory_order_acq_rel)) ::eventfd_write(wake.get(), 1);
}

ConsoleFollower::ConsoleFollower(ConsoleState& state)
    : state_(state),
      stdout_writer_(state.options.stdout_fd, state.deadline),
      stderr_writer_(state.options.stderr_fd, state.deadline),
      status_line_(state.options.stderr_is_terminal && terminal_overprints(), state.options.color) {
}

void ConsoleFollower::run() {
  while (true) {
    wait_for_work();
    // Both before the files are looked at: what was stored earlier is in their sizes.
    const bool finishing = state_.deadline.is_set();
    const Clock::time_point began = Clock::now();
    take_requests();
    show_files(finishing);
    show_prints(finishing ? Clock::time_point::max() : began);
    if (finishing) status_.clear();
    show_status();
    note_progress();
    if (finishing) break;
    wait_until(began + kRoundInterval);
  }
  const std::lock_guard lock(state_.mutex);
  state_.everything_shown =
      !stdout_writer_.cut() && !stderr_writer_.cut() && !state_.deadline.passed();
}

void ConsoleFollower::wait_for_work() {
  pollfd watched[2] = {{state_.wake.get(), POLLIN, 0}, {state_.deadline.fd(), POLLIN, 0}};
  while (::poll(watched, 2, -1) < 0 && errno == EINTR) {
  }
  // In this order: a notification between the two writes nothing, and is part of this round.
  eventfd_t count = 0;
  if ((watched[0].revents & POLLIN) != 0) ::eventfd_read(state_.wake.get(), &count);
  state_.woken.exchange(false, std::memory_order_acq_rel);
}

// Until `at`, or finish().
void ConsoleFollower::wait_until(Clock::time_point at) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(at - Clock::now()).count();
    if (left <= 0) return;
    pollfd watched = {state_.deadline.fd(), POLLIN, 0};
    if (::poll(&watched, 1, static_cast<int>(left)) > 0) return;
  }
}

void ConsoleFollower::take_requests() {
  std::deque<FollowRequest> requests;
  {
    const std::lock_guard lock(state_.mutex);
    requests.swap(state_.follow_requests);
    status_ = state_.status;
    suspended_ = state_.suspended;
    redraw_ = std::exchange(state_.redraw, false);
    taken_ = state_.asked;
  }
  for (FollowRequest& request : requests) {
    for (const auto& file : files_) {
      if (file->is_same_stream(request)) file->end_after_this();
    }
    ConsoleLines::Options options{state_.options.color, ""};
    if (state_.options.prefix) options.prefix = "[" + std::to_string(request.rank) + "] ";
    files_.push_back(std::make_unique<FollowedStream>(std::move(request), std::move(options)));
  }
}

void ConsoleFollower::show_files(bool finishing) {
  std::erase_if(files_, [&](const auto& file) { return !writer(file->side()).working(); });
  for (const auto& file : files_) file->look();
  // A block of each in turn: a file that is far behind does not hide the others.
  for (bool more = true; more;) {
    more = false;
    for (const auto& file : files_) {
      if (state_.deadline.passed() || !writer(file->side()).working()) continue;
      lines_.clear();
      if (!file->read_block(buffer_, lines_)) continue;
      more = true;
      if (file->has_live()) last_shown_ = file.get();
      write_lines(file->side(), lines_);
      show_prints(Clock::now() - kPrintPatience);
    }
  }
  std::erase_if(files_, [&](const auto& file) {
    if (!finishing && !file->ends()) return false;
    lines_.clear();
    file->flush(lines_);
    write_lines(file->side(), lines_);
    return true;
  });
  const bool there = std::any_of(files_.begin(), files_.end(),
                                 [&](const auto& file) { return file.get() == last_shown_; });
  if (!there) last_shown_ = nullptr;
}

void ConsoleFollower::show_prints(Clock::time_point asked_before) {
  while (true) {
    std::string text;
    {
      const std::lock_guard lock(state_.mutex);
      if (state_.print_requests.empty()) return;
      if (state_.print_requests.front().asked_at > asked_before) return;
      text = std::move(state_.print_requests.front().text);
      state_.print_requests.pop_front();
    }
    write_lines(ConsoleSide::kStderr, text);
  }
}

void ConsoleFollower::note_progress() {
  const std::lock_guard lock(state_.mutex);
  state_.shown = taken_;
  state_.progress.notify_all();
}

void ConsoleFollower::show_status() {
  if (!status_line_.enabled()) return;
  const int columns = terminal_columns(state_.options.stderr_fd);
  if (redraw_) stderr_writer_.write(status_line_.resize(columns));
  // In the background the last line is the shell's prompt.
  if (suspended_ || !is_foreground(state_.options.stderr_fd)) {
    stderr_writer_.write(status_line_.hide());
    return;
  }
  std::string text = status_;
  if (last_shown_ != nullptr && is_terminal(last_shown_->side())) {
    const std::string live = last_shown_->live();
    if (!text.empty() && !live.empty()) text += "  ";
    text += live;
  }
  stderr_writer_.write(status_line_.show(text, columns));
}

void ConsoleFollower::write_lines(ConsoleSide side, std::string_view lines) {
  if (lines.empty() || !writer(side).working()) return;
  if (is_terminal(side)) stderr_writer_.write(status_line_.hide());
  writer(side).write(lines);
  note_failure(side);
}

// A reader that went away wants no more, and needs no message.  Anything else is worth one.
void ConsoleFollower::note_failure(ConsoleSide side) {
  const int failure = writer(side).failure();
  if (failure == 0 || failure == EPIPE || side == ConsoleSide::kStderr) return;
  stderr_writer_.write(status_line_.hide());
  stderr_writer_.write(
      std::string("muster: warning: writing to stdout failed (") + ::strerror(failure) +
      "): no more is shown there; the run goes on, and its files hold all of it\n");
}

}  // namespace muster::report
