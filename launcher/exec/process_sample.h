// What the kernel says about running processes at one moment.
#pragma once

#include <cstdint>
#include <map>
#include <sys/types.h>
#include <vector>

namespace muster::exec {

struct ProcessSample {
  pid_t parent = 0;
  char state = '?';  // of its first thread, as in /proc/PID/stat
  double cpu_seconds = 0;
  std::uint64_t rss_bytes = 0;
};

// A process with everything below it.
struct TreeSample {
  int process_count = 0;
  double cpu_seconds = 0;  // with those of it that have ended and were waited for
  std::uint64_t rss_bytes = 0;
};

class ProcessTable {
 public:
  // One pass over /proc.
  static ProcessTable read();

  // nullptr: there is none, or it may not be seen.
  const ProcessSample* find(pid_t pid) const;
  TreeSample tree(pid_t root) const;

  void add(pid_t pid, ProcessSample sample);

 private:
  std::map<pid_t, ProcessSample> processes_;
  std::multimap<pid_t, pid_t> children_;
};

// How many of its threads are in which state; looks at no more than `max_threads` of them.
std::map<char, int> thread_states(pid_t pid, int max_threads);

}  // namespace muster::exec
