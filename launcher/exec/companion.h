// Something that lives beside the ranks and that the run cannot do without: the mounts of its data.
#pragma once

#include <sys/types.h>

#include "muster/result.h"

namespace muster::exec {

class Companion {
 public:
  virtual ~Companion() = default;
  // Whether a child of this process is its own: not a stranger, and not others' to reap.
  virtual bool owns(pid_t pid) const = 0;
  // Called when a child has ended, and about twice a second.  Must not block.  An Error ends the
  // run as a failure of Muster's with that Error's exit code.
  virtual Result<> check() = 0;
};

}  // namespace muster::exec
