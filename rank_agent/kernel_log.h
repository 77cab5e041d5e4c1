// The kernel's log, for the one thing that it alone knows: which process the OOM killer chose.
//
// Reading it takes CAP_SYSLOG, or kernel.dmesg_restrict=0; without, counters have to do.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace muster::agent {

struct LoggedOomKill {
  int pid = 0;          // in the first PID namespace
  std::string name;     // "python3"
  std::string cgroup;   // of the process; "" where the kernel does not say
  std::string limited;  // the cgroup that was at its limit; "": the whole machine
};

// The kills that lines of the log tell, oldest first.  Two lines may tell of one kill, and either
// may be missing: the first is rate-limited.
std::vector<LoggedOomKill> oom_kills_in(std::string_view log);

// A place in the log.
class KernelLog {
 public:
  // At the log's end; nothing where it may not be read.
  static KernelLog open();

  explicit operator bool() const { return static_cast<bool>(fd_); }

  // Messages that were logged since the last call, a line each.
  std::string read_new();

 private:
  Fd fd_;
};

// Whether this process is in the PID namespace whose numbers the kernel's log has.
bool in_first_pid_namespace();

}  // namespace muster::agent
