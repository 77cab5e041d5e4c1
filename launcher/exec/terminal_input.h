// stdin of rank 0, on request.  A file or pipe is handed on as it is; a terminal is copied into a
// pipe by a thread, because a rank in its own process group may not read from it.
#pragma once

#include <thread>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::exec {

class TerminalInput {
 public:
  // From descriptor 0 of this process.
  static Result<TerminalInput> open();

  TerminalInput(TerminalInput&&) noexcept = default;
  TerminalInput& operator=(TerminalInput&&) = delete;
  ~TerminalInput();  // the thread ends, whether anybody has read or typed

  int fd() const { return read_end_ ? read_end_.get() : 0; }

 private:
  TerminalInput() = default;

  Fd read_end_;  // with a terminal: what rank 0 gets
  Fd stop_;      // closing its other end ends the thread
  std::thread thread_;
};

}  // namespace muster::exec
