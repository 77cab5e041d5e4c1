// One stream of a run store: an append-only file with one writer, when its bytes arrived, and what
// of the stream is missing.
//
// A disk that takes nothing costs no more than it must: the newest bytes wait in a small window,
// what does not fit there is dropped from its old end, and that is a gap.  When there is room again
// the gap becomes a hole of the file, so that an offset in the file is one in the stream.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/append_file.h"
#include "collector/store/stream_ledger.h"
#include "collector/store/time_index.h"
#include "muster/result.h"

namespace muster::store {

class StreamFile {
 public:
  static constexpr std::size_t kWindow = 256 << 10;

  // Creates the file; it must not exist, because a stream is written once.
  static Result<StreamFile> create(const std::filesystem::path& path);

  // Takes all bytes: into the file, else into the window.
  void append(std::string_view bytes);
  // What the file does not take now.
  bool in_trouble() const { return in_trouble_; }
  // How much more is taken before something is dropped, while in trouble.
  std::size_t room() const { return kWindow - std::min(kWindow, window_.size()); }
  // Tries the file again; the caller knows when that is worth it.
  void retry();
  // Nothing comes any more: tries once more; what then still waits is a gap.
  void finish();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return file_.size(); }                       // in the file
  std::uint64_t length() const { return window_start() + window_.size(); }  // that came
  const std::string& problem() const { return problem_; }  // the last one, "" when there was none
  bool is_out_of_room() const { return store::is_out_of_room(file_.error_number()); }
  // Those with an end; and the one that has none yet.
  const std::vector<Gap>& gaps() const { return gaps_; }
  LedgerEnd end() const;  // of what has come
  // Of its time index; nullopt where there is none, or it was given up.
  std::optional<LedgerEnd> index_end() const;

  // Is told every gap when it begins, and again with its end.
  std::function<void(const Gap&)> on_gap;

 private:
  StreamFile(std::filesystem::path path, Fd fd);
  std::uint64_t window_start() const { return file_.size() + dropped_; }
  void keep(std::string_view bytes);
  bool write(std::string_view bytes);  // false: not all of them
  void close_gap();
  const char* reason() const;

  std::filesystem::path path_;
  AppendFile file_;
  TimeIndexWriter times_;
  bool in_trouble_ = false;
  std::string problem_;
  std::string window_;         // the newest bytes, not in the file
  std::uint64_t dropped_ = 0;  // between the file's end and the window
  std::vector<Gap> gaps_;
};

// What a pipe's reader does while the disk is full.
struct StreamPolicy {
  enum class WhenFull { kDropOldest, kBlock };
  WhenFull when_full = WhenFull::kDropOldest;
  std::chrono::milliseconds stall_budget{60'000};  // with kBlock: then it drops
};

}  // namespace muster::store
