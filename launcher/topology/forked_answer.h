// A question that is answered in a process of its own, because the answer may never come.
//
// A child asks (forked_child.h), writes what it found to a pipe, and ends; who does not answer in
// time is killed, and is not waited for.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <sys/types.h>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::topology {

class ForkedAnswer {
 public:
  enum class State {
    kWaiting,   // not here yet
    kAnswered,  // `text` is whole
    kDied,      // the child ended without an answer: `text` says how
    kTooLate,   // the time is over
  };

  // Runs `question` in a child and has its text for us.  The child has no descriptor of ours but
  // the pipe; what the question prints goes nowhere.  From the main thread: the child dies with it.
  static Result<ForkedAnswer> ask(const std::function<std::string()>& question,
                                  std::chrono::milliseconds patience);

  ForkedAnswer(ForkedAnswer&& other) noexcept;
  ForkedAnswer& operator=(ForkedAnswer&& other) noexcept;
  ~ForkedAnswer();

  pid_t pid() const { return pid_; }
  int fd() const { return answer_.get(); }  // readable when poll() can say something new
  State poll();                             // never blocks
  State wait();                             // at most until the time is over
  const std::string& text() const { return text_; }
  std::chrono::steady_clock::time_point deadline() const { return deadline_; }

 private:
  ForkedAnswer(pid_t pid, Fd answer, std::chrono::steady_clock::time_point deadline);
  State ended();
  void end_child();

  pid_t pid_ = 0;
  Fd answer_;
  std::chrono::steady_clock::time_point deadline_;
  std::string text_;
  State state_ = State::kWaiting;
};

}  // namespace muster::topology
