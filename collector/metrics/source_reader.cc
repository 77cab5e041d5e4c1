#include "collector/metrics/source_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "collector/metrics/metric_line.h"
#include "collector/metrics/tfevents.h"

namespace muster::metrics {
namespace {

constexpr std::size_t kBlock = 1 << 20;
// A whole record, or a whole line, is in one block.
static_assert(kBlock + kRecordFrame >= kLargestRecord);
constexpr std::size_t kRead = kBlock + kRecordFrame;
constexpr std::size_t kHead = 4096;
constexpr std::size_t kKept = 1 << 14;
constexpr std::size_t kExample = 120;

std::string shortened(std::string_view line) {
  std::string text = without_controls(line.substr(0, kExample));
  if (line.size() > kExample) text += "…";
  return text;
}

// The checksum of an event file's first record, which says when it was begun; 0: unknown.
std::uint32_t mark_of(std::string_view head) {
  const RecordRead read = read_record(head);
  std::uint32_t mark = 0;
  if (read.status == RecordRead::Status::kWhole) {
    std::memcpy(&mark, head.data() + read.size - sizeof mark, sizeof mark);
  }
  return mark;
}

}  // namespace

Result<> SourceReader::fill(std::uint64_t offset, std::size_t most) {
  Fd fd(::open(source_.file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    if (errno == ENOENT) {  // it has gone: what it said stays
      size_ = 0;
      buffer_.clear();
      return {};
    }
    return Failure(system_error(ErrorCode::kInternal, "reading " + source_.file.string()));
  }
  size_ = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
  modified_ = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
  buffer_offset_ = offset;
  buffer_.resize(
      static_cast<std::size_t>(std::min<std::uint64_t>(most, size_ - std::min(size_, offset))));
  std::size_t have = 0;
  while (have < buffer_.size()) {
    const ssize_t got = ::pread(fd.get(), buffer_.data() + have, buffer_.size() - have,
                                static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return Failure(system_error(ErrorCode::kInternal, "reading " + source_.file.string()));
    }
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  buffer_.resize(have);
  return {};
}

Result<Block> SourceReader::read(const Cursor& from, bool final) {
  Block block;
  block.after = from;
  if (source_.kind == Source::Kind::kEvents) {
    MUSTER_TRY(fill(0, kHead));
    const std::uint32_t mark = mark_of(buffer_);
    if (is_another_file(from, mark)) block.after.offset = 0;
    if (mark != 0) block.after.generation = mark;
    MUSTER_TRY(fill(block.after.offset, kRead));
    read_records(final, block);
  } else {
    MUSTER_TRY(fill(from.offset, kRead));
    if (!buffer_.empty()) {
      if (!times_) times_.emplace(store::time_index_of(source_.file));
      times_->look();
      read_lines(final, block);
    }
  }
  // Thousands of readers must not keep a block each.
  if (buffer_.capacity() > kKept) buffer_ = std::string();
  block.more = block.after.offset != from.offset && block.after.offset < size_;
  return block;
}

// An event file that was written anew has another first record, or is shorter than it was.
bool SourceReader::is_another_file(const Cursor& from, std::uint32_t mark) const {
  if (from.offset == 0 || size_ == 0) return false;
  return size_ < from.offset || (from.generation != 0 && mark != 0 && mark != from.generation);
}

void SourceReader::note_bad(Block& block, std::string example) const {
  if (block.after.bad++ == 0) block.after.example = std::move(example);
}

void SourceReader::read_lines(bool final, Block& block) {
  const bool text = source_.kind == Source::Kind::kText;
  std::string_view rest = buffer_;
  const std::uint64_t begin = buffer_offset_;
  const bool whole = begin + buffer_.size() >= size_;  // up to the end of the file
  while (!rest.empty()) {
    // A progress bar rewrites its line: every state of it is one.
    const std::size_t end = text ? rest.find_first_of("\r\n") : rest.find('\n');
    const std::uint64_t offset = begin + (buffer_.size() - rest.size());
    if (end == rest.npos) {
      const bool too_long = rest.size() == buffer_.size() && !whole;
      if (!(final && whole) && !too_long) break;
      read_line(rest, offset, block);
      rest = {};
      break;
    }
    read_line(rest.substr(0, end), offset, block);
    rest.remove_prefix(end + 1);
  }
  block.after.offset = begin + (buffer_.size() - rest.size());
}

void SourceReader::read_line(std::string_view line, std::uint64_t offset, Block& block) {
  // Bytes that are missing (a Gap) read as zeros: what touches them is no line.
  if (line.empty() || line.find('\0') != line.npos) return;
  const std::size_t before = block.samples.size();
  if (source_.kind == Source::Kind::kText) {
    patterns_->apply(line, block.samples);
  } else if (const auto problem = read_metric_line(line, block.samples)) {
    note_bad(block, "`" + shortened(line) + "`: " + std::string(*problem));
  }
  for (std::size_t i = before; i < block.samples.size(); ++i) {
    Sample& sample = block.samples[i];
    if (sample.time) continue;
    sample.time = arrival_of(offset);
    sample.arrived = true;
  }
}

void SourceReader::read_records(bool final, Block& block) {
  using Status = RecordRead::Status;
  const auto now = Clock::now();
  std::string_view rest = buffer_;
  const std::uint64_t begin = buffer_offset_;
  const auto at = [&] { return begin + (buffer_.size() - rest.size()); };
  // Written through memory that is mapped, a record may be seen before it is whole.
  const auto is_torn_for_good = [&] {
    if (final) return true;
    if (!torn_ || torn_->first != at()) torn_ = {at(), now};
    return now - torn_->second >= kTornPatience;
  };
  std::uint64_t skip = 0;  // beyond what was read
  while (!rest.empty()) {
    const RecordRead read = read_record(rest);
    const std::string place = "at byte " + std::to_string(at());
    if (read.status == Status::kWhole) {
      if (!read_event(read.bytes, block.samples)) note_bad(block, place + ": no Event");
      rest.remove_prefix(static_cast<std::size_t>(read.size));
      continue;
    }
    if (read.status == Status::kTooLarge && at() + read.size <= size_) {
      skip = at() + read.size;
      break;
    }
    if (read.status == Status::kIncomplete || read.status == Status::kTooLarge) {
      const bool cut = read.status == Status::kIncomplete && begin + buffer_.size() < size_;
      if (!cut && final) {
        note_bad(block, place + ": a record that was not finished");
        skip = size_;
      }
      break;
    }
    if (!is_torn_for_good()) {
      block.waiting = true;
      break;
    }
    if (read.status == Status::kBadBytes) {
      note_bad(block, place + ": a record with a wrong checksum");
      rest.remove_prefix(static_cast<std::size_t>(read.size));
      continue;
    }
    note_bad(block, place + ": no record");
    const auto next = find_record(rest);
    if (next) {
      rest.remove_prefix(*next);
    } else {
      // A head may begin in the last bytes.
      const std::size_t keep = final && begin + buffer_.size() >= size_ ? 0 : kRecordHead - 1;
      rest.remove_prefix(rest.size() > keep ? rest.size() - keep : 0);
      break;
    }
  }
  block.after.offset = skip != 0 ? skip : at();
  for (Sample& sample : block.samples) {
    if (!sample.time) {
      sample.time = modified_;
      sample.arrived = true;
    }
  }
}

// Lines come in order: most have the time of the line before.
std::int64_t SourceReader::arrival_of(std::uint64_t offset) {
  if (times_->size() == 0) return modified_;
  if (arrival_ != 0 && offset < arrival_until_ && offset >= arrival_from_) return arrival_;
  const auto found = times_->find_offset(offset);
  const auto record = found ? times_->at(*found) : std::nullopt;
  if (!record) return modified_;
  const auto next = times_->at(*found + 1);
  arrival_from_ = record->offset;
  // Of the last one, more may come: it holds for what was seen when the index was looked at.
  arrival_until_ = next ? next->offset : buffer_offset_ + buffer_.size();
  arrival_ =
      std::chrono::duration_cast<std::chrono::nanoseconds>(record->time.time_since_epoch()).count();
  return arrival_;
}

}  // namespace muster::metrics
