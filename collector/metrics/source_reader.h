// Reads one source from where a cursor stands, a block at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "collector/metrics/metrics_db.h"
#include "collector/metrics/patterns.h"
#include "collector/metrics/sources.h"
#include "collector/store/time_index.h"

namespace muster::metrics {

struct Block {
  std::vector<Sample> samples;  // each has a time
  Cursor after;
  bool more = false;     // there is more to be read by now
  bool waiting = false;  // for a record that is torn so far
};

class SourceReader {
 public:
  // A record that its writer has not finished is looked at again for so long.
  static constexpr std::chrono::seconds kTornPatience{30};

  // `patterns` are those of Source::Kind::kText; they outlive the reader.
  SourceReader(Source source, const Patterns* patterns)
      : source_(std::move(source)), patterns_(patterns) {}

  const Source& source() const { return source_; }

  // `final`: nobody writes any more; a last line without a newline counts, and what is torn stays
  // so.  Errors: kInternal, it cannot be read.
  Result<Block> read(const Cursor& from, bool final);

 private:
  using Clock = std::chrono::steady_clock;

  Result<> fill(std::uint64_t offset, std::size_t most);
  void read_lines(bool final, Block& block);
  void read_line(std::string_view line, std::uint64_t offset, Block& block);
  void read_records(bool final, Block& block);
  void note_bad(Block& block, std::string example) const;
  bool is_another_file(const Cursor& from, std::uint32_t mark) const;
  std::int64_t arrival_of(std::uint64_t offset);

  Source source_;
  const Patterns* patterns_;
  std::string buffer_;  // from buffer_offset_ on
  std::uint64_t buffer_offset_ = 0;
  std::uint64_t size_ = 0;
  std::int64_t modified_ = 0;  // ns
  std::optional<store::TimeIndex> times_;
  std::int64_t arrival_ = 0;  // of the bytes from … until …
  std::uint64_t arrival_from_ = 0;
  std::uint64_t arrival_until_ = 0;
  std::optional<std::pair<std::uint64_t, Clock::time_point>> torn_;
};

}  // namespace muster::metrics
