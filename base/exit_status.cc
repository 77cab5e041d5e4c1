#include "base/exit_status.h"

#include <csignal>
#include <cstring>
#include <sys/wait.h>

namespace muster {

ExitStatus ExitStatus::from_wait(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return {How::kSignaled, WTERMSIG(wait_status), WCOREDUMP(wait_status) != 0};
  }
  return {How::kExited, WEXITSTATUS(wait_status), false};
}

std::string ExitStatus::describe() const {
  if (how == How::kExited) return "exited with " + std::to_string(value);
  std::string text = "killed by " + signal_name(value);
  if (const std::string number = "signal " + std::to_string(value); signal_name(value) != number) {
    text += " (" + number + ")";
  }
  if (core_dumped) text += ", core dumped";
  return text;
}

std::string signal_name(int signal_number) {
  if (const char* abbreviation = ::sigabbrev_np(signal_number)) {
    return std::string("SIG") + abbreviation;
  }
  return "signal " + std::to_string(signal_number);
}

}  // namespace muster
