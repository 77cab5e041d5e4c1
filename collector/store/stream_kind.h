// What kind of thing a file of a run directory is, by its name: how it grows, and how soon it
// travels.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace muster::store {

// In the order in which they travel.
enum class StreamKind : std::uint8_t {
  kControl = 1,  // run.json, plan.json, config.yaml, report.txt: replaced as a whole
  kMetrics = 2,
  kEvents = 3,
  kIndex = 4,  // when the bytes of a stream arrived
  kStderr = 5,
  kStdout = 6,
  kLog = 7,   // of launchers and mpirun; ranks' driver.log
  kFile = 8,  // of the output folders
};

// By a path relative to the run directory, "ranks/00003/attempt-0/stdout.log".  nullopt: nothing
// that travels (Muster's own bookkeeping, databases, what is being copied).  Pure.
std::optional<StreamKind> kind_of(std::string_view path);

// Whether it only ever grows at its end.
constexpr bool is_append_only(StreamKind kind) {
  return kind != StreamKind::kControl && kind != StreamKind::kFile;
}

}  // namespace muster::store
