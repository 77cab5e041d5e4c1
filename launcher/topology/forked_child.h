// A process of its own for what may block or crash: a library of a sick driver can do so for ever,
// in the kernel where no signal reaches it, and it changes the process that it is loaded into.
#pragma once

#include <functional>
#include <sys/types.h>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::topology {

struct ForkedChild {
  pid_t pid = 0;
  Fd output;  // what the work writes; non-blocking
};

// Runs `work` in a child, which ends with 0 when it returns true.  The child has no descriptor of
// ours but the pipe that it is given; what it prints goes nowhere.  From the main thread: the child
// dies with it.
Result<ForkedChild> fork_child(const std::function<bool(const Fd& pipe)>& work);

// Kills it, and reaps it when that is possible within a moment; one that hangs in the kernel is
// left to whoever reaps this process's children, or to init.
void end_forked_child(pid_t pid);

}  // namespace muster::topology
