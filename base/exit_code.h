// The exit codes of Muster's own failures, in one place.  docs/exit-codes.md and the README show
// the same table; a test compares them.
#pragma once

#include <array>
#include <string_view>

#include "muster/result.h"

namespace muster {

enum class ExitCode : int {
  kSuccess = 0,
  kUsage = 64,
  kConfig = 65,
  kResources = 69,
  kInternal = 70,
  kNodeLost = 71,
  kRunDirectory = 73,
  kData = 74,
  kTimeout = 75,
  kDelivery = 76,
  kPermission = 77,
  kTimeLimit = 124,
  kNotExecutable = 126,
  kNotFound = 127,
  kInterrupted = 130,  // 128 + SIGINT
  kTerminated = 143,   // 128 + SIGTERM
};

struct ExitCodeRow {
  ExitCode code;
  std::string_view meaning;
};

inline constexpr std::array kExitCodes = {
    ExitCodeRow{ExitCode::kSuccess, "every rank ended with 0"},
    ExitCodeRow{ExitCode::kUsage, "the command line makes no sense"},
    ExitCodeRow{ExitCode::kConfig, "the config cannot be read, or contradicts itself"},
    ExitCodeRow{ExitCode::kResources,
                "the node lacks something: cores, limits, a directory for sockets, an Open MPI"},
    ExitCodeRow{ExitCode::kInternal, "Muster itself, an agent or mpirun broke"},
    ExitCodeRow{ExitCode::kNodeLost, "a node was lost: its launcher ended or fell silent"},
    ExitCodeRow{ExitCode::kRunDirectory,
                "the run directory cannot be written, or its disk is full"},
    ExitCodeRow{ExitCode::kData,
                "source, input or output data: it cannot be read, mounted or stored"},
    ExitCodeRow{ExitCode::kTimeout,
                "the ranks did not all start in time, or mpirun failed before they had"},
    ExitCodeRow{
        ExitCode::kDelivery,
        "the collector was lost before everything was delivered; `muster sync` delivers it"},
    ExitCodeRow{ExitCode::kPermission, "not permitted"},
    ExitCodeRow{ExitCode::kTimeLimit, "`max_run_duration_seconds` was reached"},
    ExitCodeRow{ExitCode::kNotExecutable, "the program cannot be executed"},
    ExitCodeRow{ExitCode::kNotFound, "the program was not found"},
    ExitCodeRow{ExitCode::kInterrupted, "stopped by Ctrl-C (SIGINT)"},
    ExitCodeRow{ExitCode::kTerminated, "stopped by SIGTERM"},
};

constexpr int to_int(ExitCode code) {
  return static_cast<int>(code);
}

constexpr ExitCode exit_code_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage: return ExitCode::kUsage;
    case ErrorCode::kConfig: return ExitCode::kConfig;
    case ErrorCode::kResources: return ExitCode::kResources;
    case ErrorCode::kInternal: return ExitCode::kInternal;
    case ErrorCode::kRunDirectory: return ExitCode::kRunDirectory;
    case ErrorCode::kData: return ExitCode::kData;
    case ErrorCode::kTimeout: return ExitCode::kTimeout;
    case ErrorCode::kPermission: return ExitCode::kPermission;
    case ErrorCode::kDelivery: return ExitCode::kDelivery;
    case ErrorCode::kStopped: return ExitCode::kTerminated;
  }
  return ExitCode::kInternal;
}

// The class of a failure that another launcher tells by its exit code.
constexpr ErrorCode error_code_for(int exit_code) {
  for (const ErrorCode code :
       {ErrorCode::kUsage, ErrorCode::kConfig, ErrorCode::kResources, ErrorCode::kRunDirectory,
        ErrorCode::kData, ErrorCode::kTimeout, ErrorCode::kPermission, ErrorCode::kDelivery}) {
    if (to_int(exit_code_for(code)) == exit_code) return code;
  }
  return ErrorCode::kInternal;
}

}  // namespace muster
