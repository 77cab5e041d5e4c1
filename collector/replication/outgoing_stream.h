// One stream as its sender sees it: what there is, what is missing, how far the receiver has come,
// and so what has to be told next.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "collector/replication/replica_store.h"

namespace muster::replication {

class OutgoingStream {
 public:
  enum class Step { kNothing, kData, kGap, kEnd };

  explicit OutgoingStream(StreamDescription stream) : description_(std::move(stream)) {}

  const StreamDescription& description() const { return description_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t next() const { return next_; }
  std::uint64_t received() const { return received_; }
  std::uint64_t durable() const { return durable_; }
  // What is not durable there and is no gap.
  std::uint64_t unsent() const;
  const std::optional<StreamEnd>& end() const { return end_; }

  // What the local store has.
  void grown(std::uint64_t size);
  void add_gap(const StreamGap& gap);
  void freed(std::uint64_t to);
  void ended(const StreamEnd& end);

  // What the receiver said.
  struct Position {
    std::uint64_t next = 0;
    std::uint64_t durable = 0;
  };
  // Of a stream that was opened, or goes back.  How many bytes it lacks that are freed here, and
  // that was not known: a gap was made of them.
  std::uint64_t opened_at(const Position& position);
  std::uint64_t rewind(std::uint64_t expected);
  // False: it acknowledges what was never sent.  `moved` tells whether anything is new.
  bool acknowledged(const Position& position, bool& moved);

  // What comes next, and with kData up to which offset.
  Step step() const;
  std::uint64_t limit() const;
  // The gap that begins where kGap is next.
  StreamGap gap_here() const;
  // The end as it is to be told.  When the receiver has bytes that a crash took from us, they
  // count.
  StreamEnd end_here() const;

  // It was told.
  void told_data(std::uint64_t count);
  void told_gap();
  void told_end() { end_told_ = true; }

  // How many of `count` bytes at next() were sent before.
  std::uint64_t sent_before(std::uint64_t count) const;

 private:
  struct Range {
    std::uint64_t to = 0;
    std::string reason;
  };

  std::uint64_t go_to(std::uint64_t next);
  // How many bytes were in no gap before.
  std::uint64_t cover(std::uint64_t from, std::uint64_t to, const std::string& reason);
  // The first known gap that ends after `offset`.
  std::map<std::uint64_t, Range>::const_iterator gap_after(std::uint64_t offset) const;

  StreamDescription description_;
  std::uint64_t size_ = 0;
  std::uint64_t freed_ = 0;
  std::map<std::uint64_t, Range>
      gaps_;                          // by where they begin; they do not touch each other's bytes
  std::optional<StreamGap> endless_;  // the gap without an end
  std::optional<StreamEnd> end_;

  std::uint64_t next_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t durable_ = 0;
  std::uint64_t highest_ = 0;  // that was ever sent, or said to be there
  bool endless_told_ = false;
  bool end_told_ = false;
};

}  // namespace muster::replication
