// One stream of a run store: an append-only file with one writer, when its bytes arrived, and what
// of the stream is missing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/fd.h"
#include "collector/store/time_index.h"
#include "muster/result.h"

namespace muster::store {

class StreamFile {
 public:
  // Creates the file; it must not exist, because a stream is written once.
  static Result<StreamFile> create(const std::filesystem::path& path);

  // Appends all bytes or returns why not (kRunDirectory).  After an error the file keeps what was
  // written and takes nothing more: later bytes are only counted, as a gap that starts at size().
  Result<> append(std::string_view bytes);

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  std::uint64_t lost_bytes() const { return lost_bytes_; }

 private:
  StreamFile(std::filesystem::path path, Fd fd)
      : path_(std::move(path)), fd_(std::move(fd)), times_(time_index_of(path_)) {}

  std::filesystem::path path_;
  Fd fd_;
  TimeIndexWriter times_;
  std::uint64_t size_ = 0;
  std::uint64_t lost_bytes_ = 0;
  bool broken_ = false;
};

}  // namespace muster::store
