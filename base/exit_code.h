// The exit codes of Muster's own failures, in one place (README "Exit codes" shows the same table).
#pragma once

#include "muster/result.h"

namespace muster {

enum class ExitCode : int {
  kSuccess = 0,
  kUsage = 64,
  kConfig = 65,
  kResources = 69,
  kInternal = 70,
  kRunDirectory = 73,
  kData = 74,
  kTimeout = 75,
  kPermission = 77,
  kTimeLimit = 124,
  kNotExecutable = 126,
  kNotFound = 127,
  kInterrupted = 130,  // 128 + SIGINT
  kTerminated = 143,   // 128 + SIGTERM
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
  }
  return ExitCode::kInternal;
}

}  // namespace muster
