// When the bytes of a stored stream arrived, wherever that is known from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "collector/store/time_index.h"
#include "launcher/plan/run_outcome.h"

namespace muster::report {

class StreamTimes {
 public:
  static constexpr std::uint64_t kNoEnd = std::numeric_limits<std::uint64_t>::max();

  virtual ~StreamTimes() = default;

  // Takes note of what has been stored since.
  virtual void look() = 0;

  // Of the byte at that offset; nullopt: unknown.
  virtual std::optional<plan::WallTime> time_of(std::uint64_t offset) const = 0;
  // The same, or else the best guess, to put streams in order by.
  virtual plan::WallTime order_of(std::uint64_t offset) const = 0;
  // From where on the bytes behind `offset` have another time; kNoEnd when none has so far.
  virtual std::uint64_t change_after(std::uint64_t offset) const = 0;
  // The first byte of that time or later; nullopt: there is none so far.
  virtual std::optional<std::uint64_t> first_at(plan::WallTime time) const = 0;
  // Of the newest byte; nullopt: unknown.
  virtual std::optional<plan::WallTime> newest() const = 0;
};

// By the index beside a stream.  Where there is none, all of the stream counts as old as the file's
// last change, and nothing of it is left out for its time.
std::unique_ptr<StreamTimes> times_of_stream(const std::filesystem::path& stream_file);

// By what stands at the beginning of each line, as in events.jsonl and the launcher's log.  A line
// without a time has that of the line before.
std::unique_ptr<StreamTimes> times_of_lines(const std::filesystem::path& file);

// The same times by a clock that is behind theirs by `ahead`.
std::unique_ptr<StreamTimes> by_another_clock(std::unique_ptr<StreamTimes> times,
                                              std::chrono::nanoseconds ahead);

}  // namespace muster::report
