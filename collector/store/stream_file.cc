#include "collector/store/stream_file.h"

#include <algorithm>
#include <fcntl.h>

namespace muster::store {

StreamFile::StreamFile(std::filesystem::path path, Fd fd)
    : path_(std::move(path)),
      file_(std::move(fd), path_.string(), 0),
      times_(time_index_of(path_)) {}

Result<StreamFile> StreamFile::create(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd) return Failure(system_error(ErrorCode::kRunDirectory, "creating " + path.string()));
  return StreamFile(path, std::move(fd));
}

const char* StreamFile::reason() const {
  return is_out_of_room() ? gap_reason::kDiskFull : gap_reason::kDiskError;
}

bool StreamFile::write(std::string_view bytes) {
  if (bytes.empty()) return true;
  times_.note(file_.size(), std::chrono::system_clock::now());
  if (auto written = file_.append(bytes); !written) {
    problem_ = written.error().message;
    return false;
  }
  return true;
}

void StreamFile::append(std::string_view bytes) {
  if (in_trouble_) {
    keep(bytes);
    return;
  }
  const std::uint64_t before = file_.size();
  if (write(bytes)) return;
  in_trouble_ = true;
  keep(bytes.substr(file_.size() - before));
}

void StreamFile::keep(std::string_view bytes) {
  const std::size_t most = bytes.size() < kWindow ? kWindow - bytes.size() : 0;
  const std::size_t from_window = window_.size() - std::min(window_.size(), most);
  const std::size_t from_bytes = bytes.size() - std::min(bytes.size(), kWindow);
  if (from_window + from_bytes > 0 && dropped_ == 0) {
    // A gap that goes on where the last one ended is that one.
    if (!gaps_.empty() && gaps_.back().to == file_.size()) {
      gaps_.back().to.reset();
    } else {
      gaps_.push_back({file_.size(), std::nullopt, reason()});
      if (on_gap) on_gap(gaps_.back());
    }
  }
  window_.erase(0, from_window);
  window_.append(bytes.substr(from_bytes));
  dropped_ += from_window + from_bytes;
}

void StreamFile::close_gap() {
  gaps_.back().to = window_start();
  if (on_gap) on_gap(gaps_.back());
}

void StreamFile::retry() {
  if (!in_trouble_) return;
  if (dropped_ > 0) {
    const std::uint64_t dropped = dropped_;
    // Recorded before the hole is made: else a crash between them would pass it off as zeros.
    close_gap();
    if (auto skipped = file_.skip(dropped); !skipped) {
      problem_ = skipped.error().message;
      gaps_.back().to.reset();
      return;
    }
    dropped_ = 0;
  }
  const std::uint64_t before = file_.size();
  in_trouble_ = !write(window_);
  window_.erase(0, file_.size() - before);
}

void StreamFile::finish() {
  if (!in_trouble_) return;
  // Into the hole only where the window fits behind it: what is not there is better told than shown
  // as a file that ends with zeros.
  if (dropped_ == 0) retry();
  if (!in_trouble_) return;
  const std::uint64_t waiting = window_.size();
  if (waiting + dropped_ == 0) return;
  if (dropped_ == 0) {
    if (!gaps_.empty() && gaps_.back().to == file_.size()) {
      gaps_.back().to.reset();
    } else {
      gaps_.push_back({file_.size(), std::nullopt, reason()});
    }
  }
  dropped_ += waiting;
  window_.clear();
  close_gap();
}

LedgerEnd StreamFile::end() const {
  StreamRecord record;
  record.gaps = gaps_;
  const std::uint64_t whole = length();
  return {whole, whole - record.missing(whole), file_.digest().value_or("")};
}

std::optional<LedgerEnd> StreamFile::index_end() const {
  auto digest = times_.digest();
  if (!digest) return std::nullopt;
  return LedgerEnd{times_.size(), times_.size(), std::move(*digest)};
}

}  // namespace muster::store
