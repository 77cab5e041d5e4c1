// Programs that are asked one thing, answer on their output, and end: `mpirun --version`.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/exit_status.h"
#include "base/process.h"

namespace muster {

struct ProgramAnswer {
  std::string output;                // stdout and stderr as they came
  std::optional<ExitStatus> status;  // nullopt: it took too long

  bool ok() const { return status && status->ok(); }
  // "exited with 1", "did not answer in 20 s"
  std::string describe(std::chrono::seconds patience) const;
};

// The spec's descriptors are set here.  An Error when it could not be started, of kResources.  One
// that says more than 64 KiB is not listened to any longer.
Result<ProgramAnswer> ask_program(ChildSpec spec, std::chrono::seconds patience);

}  // namespace muster
