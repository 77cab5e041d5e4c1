// How a process ended.  "exited with 9" and "killed by signal 9" stay different facts until the
// last line of main().
#pragma once

#include <string>

namespace muster {

struct ExitStatus {
  enum class How { kExited, kSignaled };

  How how = How::kExited;
  int value = 0;  // exit code 0..255, or the signal's number
  bool core_dumped = false;

  // From the status that waitpid() fills in.
  static ExitStatus from_wait(int wait_status);

  static ExitStatus exited(int code) { return {How::kExited, code, false}; }
  static ExitStatus signaled(int signal_number) { return {How::kSignaled, signal_number, false}; }

  bool ok() const { return how == How::kExited && value == 0; }

  // What a shell would show: the code, or 128 + signal.
  int as_exit_code() const { return how == How::kExited ? value : 128 + value; }

  // "exited with 7", "killed by SIGSEGV (signal 11), core dumped"
  std::string describe() const;

  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

// "SIGTERM" for 15; "signal 77" for a number that has no name.
std::string signal_name(int signal_number);

}  // namespace muster
