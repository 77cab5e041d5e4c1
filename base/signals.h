// Signals are blocked at the first line of main and read like any other input: no handlers.
#pragma once

#include <csignal>
#include <initializer_list>
#include <optional>
#include <sys/signalfd.h>

#include "base/fd.h"
#include "muster/result.h"

namespace muster {

// A blocked set of signals and the descriptor to read them from.  Children get an empty mask from
// Child::start.
class SignalFd {
 public:
  static Result<SignalFd> block(const sigset_t& signals);

  int get() const { return fd_.get(); }
  // The next one that arrived; nullopt when none is waiting.
  std::optional<signalfd_siginfo> read() const;

 private:
  explicit SignalFd(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// While it lives, no signal is delivered to this thread; threads made meanwhile inherit that.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked();
  ~AllSignalsBlocked();
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

sigset_t signal_set(std::initializer_list<int> signals);
// All that can be blocked but for the ones that a fault in our own code raises.
sigset_t all_but_faults();

// Stops this process as Ctrl-Z does, for its shell to see, and returns when it goes on.  Without a
// shell that could wake it (an orphaned process group) the kernel lets it go on at once.  SIGTSTP
// is blocked before and after.
void stop_this_process();

// Some callers ignore SIGCHLD, and a program inherits that: its children would then vanish
// unreaped, and with them how they ended.
void restore_child_signal();

// Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed, so that no pipe of ours
// lands there.
void ensure_standard_descriptors();

}  // namespace muster
