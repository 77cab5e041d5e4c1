// What of each stream of a run is missing, where it ended, and what was freed because a collector
// has it: .muster/streams.jsonl, one object a line, append-only (docs/run-store.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/line_log.h"
#include "muster/result.h"

namespace muster::store {

// Why bytes are missing.
namespace gap_reason {
inline constexpr const char* kOverflow = "overflow";     // the local store's bound
inline constexpr const char* kDiskFull = "disk_full";    // no room
inline constexpr const char* kDiskError = "disk_error";  // the disk refused or forgot them
inline constexpr const char* kCut = "cut";               // the pipe was closed with a writer
inline constexpr const char* kLauncherLost = "launcher_lost";
inline constexpr const char* kSenderLost = "sender_lost";
inline constexpr const char* kCollectorRollback = "collector_rollback";
}  // namespace gap_reason

struct Gap {
  std::uint64_t from = 0;
  std::optional<std::uint64_t> to;  // beyond its last byte; nullopt: unknown
  std::string reason;

  friend bool operator==(const Gap&, const Gap&) = default;
};

inline constexpr std::uint64_t kAll = ~std::uint64_t{0};

struct LedgerEnd {
  std::uint64_t length = 0;  // of the stream, gaps included
  std::uint64_t stored = 0;  // of it, without the gaps
  std::string xxh3;          // XXH3-128 of the stored bytes in their order, in hex; "": not known
  // From there on nobody can tell whether the bytes are those that were written: the machine ended
  // before they were on its disk for certain.
  std::uint64_t certain = kAll;

  friend bool operator==(const LedgerEnd&, const LedgerEnd&) = default;
};

// Everything below `to` is durable at a collector, and may be a hole here.
struct FreedRange {
  std::uint64_t to = 0;
  std::string collector;

  friend bool operator==(const FreedRange&, const FreedRange&) = default;
};

// What the ledger says of one stream.
struct StreamRecord {
  std::string writer;     // at a receiver: who opened it first, and alone may write it
  std::vector<Gap> gaps;  // by `from`; a gap whose end was found out later is one gap
  std::optional<LedgerEnd> end;
  std::optional<FreedRange> freed;

  // Bytes of gaps with a known end below `limit`.
  std::uint64_t missing(std::uint64_t limit) const;
};

using StreamRecords = std::map<std::string, StreamRecord, std::less<>>;  // by path

// Lines that are none, or cut short, are passed over: a crash may leave one.  A missing file is an
// empty one.  Errors: it cannot be read.
Result<StreamRecords> read_ledger(const std::filesystem::path& path);
// The same of its text.  Pure.
StreamRecords parse_ledger(std::string_view text);

// Appends to it.  Several may at once, each with an object of its own: a record is one write.
class StreamLedger {
 public:
  explicit StreamLedger(std::filesystem::path path) : log_(std::move(path)) {}

  // A gap is recorded when it begins (its end unknown), and again with its end.
  void gap(std::string_view stream, const Gap& gap);
  // Written with the next flush(): a run's streams end together.
  void end(std::string_view stream, const LedgerEnd& end);
  void freed(std::string_view stream, const FreedRange& range);
  // At a receiver: this writer's it is, from its first byte on.
  void opened(std::string_view stream, std::string_view writer);
  // What was stored from `size` on is gone and comes again: what was said of it counts no more.
  void back(std::string_view stream, std::uint64_t size);

  // A full disk takes no record either: it waits here.  An Error tells why there still are some.
  Result<> flush() { return log_.flush(); }
  bool has_pending() const { return log_.has_pending(); }
  Result<> sync() { return log_.sync(); }  // on the disk

 private:
  LineLog log_;
};

}  // namespace muster::store
