#include "collector/store/time_index.h"

#include <algorithm>
#include <cstring>
#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace muster::store {
namespace {

constexpr std::string_view kMark("MUSTIDX\1", 8);
constexpr std::size_t kRecordSize = 16;
constexpr auto kLeastBetween = std::chrono::milliseconds(1);
constexpr std::uint64_t kBlockRecords = 512;

std::int64_t nanoseconds_of(WallTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

void append_number(std::uint64_t number, std::string& bytes) {
  const std::uint64_t little = htole64(number);
  char text[sizeof little];
  std::memcpy(text, &little, sizeof little);
  bytes.append(text, sizeof text);
}

std::uint64_t read_number(const char* bytes) {
  std::uint64_t little = 0;
  std::memcpy(&little, bytes, sizeof little);
  return le64toh(little);
}

TimeIndex::Record read_record(const char* bytes) {
  const auto nanoseconds = static_cast<std::int64_t>(read_number(bytes));
  return {WallTime(std::chrono::duration_cast<WallTime::duration>(
              std::chrono::nanoseconds(nanoseconds))),
          read_number(bytes + 8)};
}

}  // namespace

std::filesystem::path time_index_of(const std::filesystem::path& stream_file) {
  return stream_file.string() + ".index";
}

void TimeIndexWriter::note(std::uint64_t offset, WallTime now) {
  if (given_up_) return;
  // A clock that was set back is noted, too.
  if (last_ && now >= *last_ && now - *last_ < kLeastBetween) return;
  std::string bytes;
  if (!fd_) {
    fd_.reset(::open(index_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644));
    bytes = kMark;
    digest_.emplace();
  }
  append_number(static_cast<std::uint64_t>(nanoseconds_of(now)), bytes);
  append_number(offset, bytes);
  // A record that a full disk cuts short is the last one; readers ignore it.
  if (!fd_ ||
      ::write(fd_.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    given_up_ = true;
    fd_.reset();
  } else {
    size_ += bytes.size();
    digest_->update(bytes);
  }
  last_ = now;
}

std::optional<std::string> TimeIndexWriter::digest() const {
  if (!digest_ || given_up_) return std::nullopt;
  return digest_->hex();
}

void TimeIndex::look() {
  if (!fd_) {
    fd_.reset(::open(index_.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!fd_) return;
  }
  if (count_ == 0) {
    char mark[kMark.size()] = {};
    const ssize_t got = ::pread(fd_.get(), mark, sizeof mark, 0);
    if (got != sizeof mark || std::string_view(mark, sizeof mark) != kMark) return;
  }
  struct stat info {};
  if (::fstat(fd_.get(), &info) != 0 || !S_ISREG(info.st_mode)) return;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size >= kMark.size()) count_ = std::max(count_, (size - kMark.size()) / kRecordSize);
}

std::optional<TimeIndex::Record> TimeIndex::at(std::uint64_t number) const {
  if (number >= count_) return std::nullopt;
  if (number < block_start_ || number >= block_start_ + block_.size()) {
    char bytes[kBlockRecords * kRecordSize];
    const std::uint64_t first = number - number % kBlockRecords;
    const std::uint64_t wanted = std::min(kBlockRecords, count_ - first);
    const ssize_t got = ::pread(fd_.get(), bytes, wanted * kRecordSize,
                                static_cast<off_t>(kMark.size() + first * kRecordSize));
    block_.clear();
    block_start_ = first;
    for (std::size_t at = 0; got > 0 && at + kRecordSize <= static_cast<std::size_t>(got);
         at += kRecordSize) {
      block_.push_back(read_record(bytes + at));
    }
  }
  if (number - block_start_ >= block_.size()) return std::nullopt;
  return block_[number - block_start_];
}

namespace {

// The first number of [0, count) for which is_beyond(record) holds; count when there is none.
template <typename IsBeyond>
std::uint64_t first_beyond(const TimeIndex& index, IsBeyond is_beyond) {
  std::uint64_t low = 0;
  std::uint64_t high = index.size();
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    const auto record = index.at(middle);
    if (!record || is_beyond(*record)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace

std::optional<std::uint64_t> TimeIndex::find_offset(std::uint64_t offset) const {
  const std::uint64_t beyond =
      first_beyond(*this, [&](const Record& record) { return record.offset > offset; });
  if (beyond == 0) return std::nullopt;
  return beyond - 1;
}

std::uint64_t TimeIndex::find_time(WallTime time) const {
  return first_beyond(*this, [&](const Record& record) { return record.time >= time; });
}

}  // namespace muster::store
