// The thread behind Console.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "launcher/report/console.h"
#include "launcher/report/console_text.h"
#include "launcher/report/followed_file.h"
#include "launcher/report/gap_marks.h"
#include "launcher/report/patient_writer.h"
#include "launcher/report/status_line.h"

namespace muster::report {

enum class ConsoleSide { kStdout, kStderr };

struct FollowRequest {
  int rank = 0;
  ConsoleSide side = ConsoleSide::kStdout;
  std::filesystem::path file;
  bool from_now = false;  // what it holds already is not shown, but for its unfinished line
};

struct PrintRequest {
  std::chrono::steady_clock::time_point asked_at;
  std::string text;
};

// What Console and its thread say to each other.
struct ConsoleState {
  explicit ConsoleState(ConsoleOptions chosen, Fd wake_event, Deadline finish_deadline)
      : options(chosen), wake(std::move(wake_event)), deadline(std::move(finish_deadline)) {}

  const ConsoleOptions options;
  Fd wake;                          // eventfd: there is something to do
  std::atomic<bool> woken = false;  // wake is written already: saves the system call
  Deadline deadline;                // set by finish()

  std::mutex mutex;  // guards what follows; never held while reading or writing
  std::deque<FollowRequest> follow_requests;
  std::deque<PrintRequest> print_requests;
  std::string status;
  std::uint64_t asked = 0;  // counts what follows notify(); shown: how far the thread has come
  std::uint64_t shown = 0;
  bool redraw = false;
  bool suspended = false;
  bool done = false;
  bool everything_shown = true;
  std::condition_variable progress;  // shown or done has changed

  void notify();
};

// One stored file on its way to one side of the console.
class FollowedStream {
 public:
  FollowedStream(FollowRequest request, ConsoleLines::Options options)
      : request_(std::move(request)),
        file_(request_.file),
        marks_(request_.file),
        lines_(std::move(options)) {
    file_.pass_holes();
  }

  ConsoleSide side() const { return request_.side; }
  bool is_same_stream(const FollowRequest& other) const {
    return other.rank == request_.rank && other.side == request_.side;
  }

  void end_after_this() { ends_ = true; }  // no more will be written to it
  bool ends() const { return ends_; }

  void look() {
    file_.look();
    // Once: a file that appears later is new from its first byte on.
    if (std::exchange(request_.from_now, false) && file_.size() > 0) {
      file_.seek(file_.line_start(file_.size()));
    }
  }
  // Reads one block of what is there and appends its lines.  False: nothing is left.
  bool read_block(std::string& buffer, std::string& lines) {
    const std::string_view block = file_.read_block(buffer);
    const auto hole = file_.take_hole();
    if (hole) marks_.add_hole(hole->from, hole->to, lines_, lines);
    marks_.add(file_.offset() - block.size(), block, lines_, lines);
    return hole || !block.empty();
  }
  void flush(std::string& lines) { lines_.flush(lines); }
  std::string live() const { return lines_.live(); }
  bool has_live() const { return lines_.has_live(); }

 private:
  void skip_finished_lines();

  FollowRequest request_;
  FollowedFile file_;
  GapMarks marks_;
  ConsoleLines lines_;
  bool ends_ = false;
};

class ConsoleFollower {
 public:
  explicit ConsoleFollower(ConsoleState& state);

  // Until finish().
  void run();

 private:
  using Clock = std::chrono::steady_clock;

  void wait_for_work();
  void wait_until(Clock::time_point at);
  void take_requests();
  void show_files(bool finishing);
  void show_prints(Clock::time_point asked_before);
  void show_status();
  void note_progress();
  void write_lines(ConsoleSide side, std::string_view lines);
  void note_failure(ConsoleSide side);

  PatientWriter& writer(ConsoleSide side) {
    return side == ConsoleSide::kStdout ? stdout_writer_ : stderr_writer_;
  }
  bool is_terminal(ConsoleSide side) const {
    return side == ConsoleSide::kStdout ? state_.options.stdout_is_terminal
                                        : state_.options.stderr_is_terminal;
  }

  ConsoleState& state_;
  PatientWriter stdout_writer_;
  PatientWriter stderr_writer_;
  StatusLine status_line_;
  std::string status_;
  bool redraw_ = false;
  bool suspended_ = false;
  std::uint64_t taken_ = 0;  // ConsoleState::asked when the requests were taken
  std::vector<std::unique_ptr<FollowedStream>> files_;
  const FollowedStream* last_shown_ = nullptr;  // its unfinished line is part of the status line
  std::string buffer_;
  std::string lines_;
};

}  // namespace muster::report
