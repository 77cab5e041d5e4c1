// Where the kernel left a core dump.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>

namespace muster::agent {

// What is known of the process that dumped core; the rest of a pattern may be anything.
struct CrashFacts {
  pid_t pid = 0;
  int signal_number = 0;
  uid_t user = 0;
  gid_t group = 0;
  std::string hostname;
  std::string working_directory;
};

// What /proc/sys/kernel/core_pattern makes of it.
struct CorePlace {
  std::string handler;  // a program that gets the core; else it is a file:
  std::filesystem::path directory;
  std::string name;  // a shell pattern: "core.*.4711"

  friend bool operator==(const CorePlace&, const CorePlace&) = default;
};

// nullopt when the directory's own name is not known, as in /cores/%t/core.
std::optional<CorePlace> core_place(const std::string& pattern, bool append_pid,
                                    const CrashFacts& facts);

// One sentence: "it dumped core: /data/core.4711 (12.0 MiB)".
std::string core_text(const CrashFacts& facts, std::chrono::system_clock::time_point started_at);

// The same by a given pattern.
std::string core_text(const std::string& pattern, bool append_pid, const CrashFacts& facts,
                      std::chrono::system_clock::time_point started_at);

}  // namespace muster::agent
