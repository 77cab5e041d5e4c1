// How ./outputs and ./logs get from where ranks ran, a copy of source_directory or in place, into
// the run directory.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <optional>

#include "muster/result.h"

namespace muster::exec {

struct CollectedFiles {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

struct Collecting {
  // Where a file grows until it is complete; on the file system of the target.  What is left there
  // after an error is the caller's to remove.
  std::filesystem::path incoming;
  std::optional<std::chrono::steady_clock::time_point> until = {};  // then it ends with an error
};

// A time that file times of this kernel can be compared with.
timespec file_time_now();

// Moves what lies in `from` to `to`, which exists and may hold other things (by rename where both are on one file system).
Result<CollectedFiles> move_files(const std::filesystem::path& from,
                                  const std::filesystem::path& to,
                                  const Collecting& collecting = {});

// Copies the files below `from` that were modified at or after `since`; the user's stay where they
// are.  `excluded` is not entered.
Result<CollectedFiles> copy_new_files(const std::filesystem::path& from,
                                      const std::filesystem::path& to, const timespec& since,
                                      const std::filesystem::path& excluded,
                                      const Collecting& collecting = {});

}  // namespace muster::exec
