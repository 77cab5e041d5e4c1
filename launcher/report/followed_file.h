// A stored file that may still grow, and need not exist yet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"

namespace muster::report {

class FollowedFile {
 public:
  static constexpr std::uint64_t kNoEnd = std::numeric_limits<std::uint64_t>::max();

  explicit FollowedFile(std::filesystem::path path) : path_(std::move(path)) {}

  // Opens the file if it exists by now, and notes its size: the target of the reads that follow.
  void look();

  // The next block towards that target, and not beyond `end`, in `buffer`; "" when nothing is left.
  std::string_view read_block(std::string& buffer, std::uint64_t end = kNoEnd);

  // From now on holes, which are bytes that are not stored, are no bytes of blocks: where one was
  // passed, the block that follows tells.
  void pass_holes() { passes_holes_ = true; }
  struct Hole {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
  };
  // The one that was passed before the last block, or in place of it; once.
  std::optional<Hole> take_hole() { return std::exchange(hole_, std::nullopt); }

  // Where the line begins that the byte at `offset` belongs to.
  std::uint64_t line_start(std::uint64_t offset) const;
  // Where the last `count` lines before `end` begin; what has no newline yet is a line, too.
  std::uint64_t last_lines_start(std::uint64_t end, std::uint64_t count) const;

  const std::filesystem::path& path() const { return path_; }
  bool is_open() const { return static_cast<bool>(fd_); }
  std::uint64_t size() const { return size_; }
  std::uint64_t offset() const { return offset_; }
  void seek(std::uint64_t offset) { offset_ = offset; }
  void close() { fd_.reset(); }

  // Why it cannot be read: an errno; 0 while it can, and while it does not exist.
  int failure() const { return failure_; }

 private:
  bool pass_hole(std::uint64_t end);
  std::size_t bytes_before_hole(std::string_view block, std::uint64_t offset) const;
  // Goes back from `end` over `newlines` of them; to just behind the last one met, or to 0.
  std::uint64_t behind_newline(std::uint64_t end, std::uint64_t newlines) const;

  std::filesystem::path path_;
  Fd fd_;
  std::uint64_t offset_ = 0;
  std::uint64_t size_ = 0;
  int failure_ = 0;
  bool passes_holes_ = false;
  std::optional<Hole> hole_;
};

}  // namespace muster::report
