// How large a run may make its pipes.
//
// All pipes of a user share /proc/sys/fs/pipe-user-pages-soft (64 MiB).  Once it is used up, nobody
// may enlarge a pipe any more and each new one holds 8 KiB instead of 64: also those of a training
// program's data loaders, and those of the user's next run.  (The kernel does not hold processes
// with CAP_SYS_RESOURCE or CAP_SYS_ADMIN to it.)
#pragma once

namespace muster::exec {

struct PipeLimits {
  int page_size = 4096;
  int user_pages = 0;  // that a user's pipes may have in all; 0: no limit
  int largest = 0;     // bytes of one pipe; 0: unknown
};

PipeLimits read_pipe_limits();

// What each of `pipes` pipes may hold: at most 64 are enlarged, and they take at most a quarter of
// what the user has.  0: they stay as they are.  Pure.
int pipe_size_within(const PipeLimits& limits, int pipes);

// The same, here and now: 0 also when the user's other pipes, those of other runs among them, would
// be left with less than a quarter.
int affordable_pipe_size(int pipes);

}  // namespace muster::exec
