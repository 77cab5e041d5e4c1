// When the bytes of a stream arrived: a small file beside the stream's (stdout.log.index).
//
// An 8-byte mark, then records of 16 bytes, both numbers little-endian: the wall clock in
// nanoseconds since 1970 (signed), and the offset from which on bytes arrived at that time or
// later.  A record is written before its bytes, so whoever sees bytes can tell their time.
//
// One record at most for each millisecond: lines of ranks that wait for each other are further
// apart than that, and a flood costs 16 KB of index a second.  The times are what the clock said: a
// clock that is set back leaves times that go back.  An index that is missing, foreign, or ends
// within a record means that times are unknown; it is never an error, and never a reason to lose a
// byte of the stream.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "collector/store/digest.h"

namespace muster::store {

using WallTime = std::chrono::system_clock::time_point;

std::filesystem::path time_index_of(const std::filesystem::path& stream_file);

// Writes it.  The file is made with the stream's first byte: most ranks never write to stderr, and
// files cost start time.
class TimeIndexWriter {
 public:
  explicit TimeIndexWriter(std::filesystem::path index) : index_(std::move(index)) {}

  // Bytes are about to be stored from `offset` on.  Gives the index up at the first failure.
  void note(std::uint64_t offset, WallTime now);

  const std::filesystem::path& path() const { return index_; }
  std::uint64_t size() const { return size_; }
  // Of what was written; nullopt where there is no file, or it was given up.
  std::optional<std::string> digest() const;

 private:
  std::filesystem::path index_;
  Fd fd_;
  std::uint64_t size_ = 0;
  std::optional<Digest> digest_;
  std::optional<WallTime> last_;
  bool given_up_ = false;
};

// Reads it, also while it grows.
class TimeIndex {
 public:
  struct Record {
    WallTime time;
    std::uint64_t offset = 0;
  };

  explicit TimeIndex(std::filesystem::path index) : index_(std::move(index)) {}

  // Opens it if it is there by now, and takes note of its size; what follows looks no further.
  void look();
  std::uint64_t size() const { return count_; }

  // The record that the byte at `offset` belongs to: the last one that begins at or before it.
  std::optional<std::uint64_t> find_offset(std::uint64_t offset) const;
  // The first record of that time or later; size() when there is none.
  std::uint64_t find_time(WallTime time) const;

  // nullopt beyond the end, or when it cannot be read.
  std::optional<Record> at(std::uint64_t number) const;

 private:
  std::filesystem::path index_;
  Fd fd_;
  std::uint64_t count_ = 0;
  // The part that was read last: a reader goes through the records in order.
  mutable std::vector<Record> block_;
  mutable std::uint64_t block_start_ = 0;
};

}  // namespace muster::store
