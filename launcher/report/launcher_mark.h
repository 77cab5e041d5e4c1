// Whether the launcher that wrote a run.json still lives, as another process can tell.
#pragma once

#include <cstdint>
#include <string>

#include "collector/store/run_directory.h"

namespace muster::report {

// A process, told apart from every other one that has had or will have its pid.
struct LauncherMark {
  std::string hostname;
  int pid = 0;
  std::uint64_t start_time = 0;  // clock ticks after the boot (/proc/PID/stat); 0: unknown
  std::string boot_id;           // of the kernel; containers share it.  "": unknown
  std::string pid_namespace;     // in which `pid` means it; "": unknown
  bool holds_lock = false;       // on the run directory
};

// Of this process.
LauncherMark own_launcher_mark(const std::string& hostname, bool holds_lock);

enum class LauncherLife {
  kAlive,
  kGone,
  kUnknown,  // on another machine, or where nothing of it can be seen
};

LauncherLife launcher_life(const LauncherMark& mark, const store::RunDirectory& run);

}  // namespace muster::report
