#include "launcher/report/stream_times.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

#include "base/time_text.h"
#include "launcher/report/followed_file.h"

namespace muster::report {
namespace {

namespace fs = std::filesystem;
using plan::WallTime;
using store::TimeIndex;

// The epoch for a file that is not there: it has no bytes to be asked for.
WallTime changed_at(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return WallTime(std::chrono::duration_cast<WallTime::duration>(
      std::chrono::seconds(info.st_mtim.tv_sec) + std::chrono::nanoseconds(info.st_mtim.tv_nsec)));
}

class IndexedTimes : public StreamTimes {
 public:
  explicit IndexedTimes(const fs::path& stream_file)
      : stream_file_(stream_file), index_(store::time_index_of(stream_file)) {}

  void look() override {
    index_.look();
    if (index_.size() == 0) changed_at_ = changed_at(stream_file_);
  }

  std::optional<WallTime> time_of(std::uint64_t offset) const override {
    const auto number = number_of(offset);
    const auto record = number ? index_.at(*number) : std::nullopt;
    if (!record) return std::nullopt;
    return record->time;
  }

  WallTime order_of(std::uint64_t offset) const override {
    return time_of(offset).value_or(changed_at_);
  }

  std::uint64_t change_after(std::uint64_t offset) const override {
    const auto number = number_of(offset);
    const auto next = index_.at(number ? *number + 1 : 0);
    return next ? next->offset : kNoEnd;
  }

  std::optional<std::uint64_t> first_at(WallTime time) const override {
    if (index_.size() == 0)
      return changed_at_ >= time ? std::optional<std::uint64_t>(0) : std::nullopt;
    const auto record = index_.at(index_.find_time(time));
    if (!record) return std::nullopt;
    return record->offset;
  }

  std::optional<WallTime> newest() const override {
    const auto last = index_.size() > 0 ? index_.at(index_.size() - 1) : std::nullopt;
    if (last) return last->time;
    return std::nullopt;
  }

 private:
  // A reader goes forwards, so the record of the last question is mostly that of this one.
  std::optional<std::uint64_t> number_of(std::uint64_t offset) const {
    for (std::uint64_t number = last_number_; number < last_number_ + 2; ++number) {
      const auto record = index_.at(number);
      const auto next = index_.at(number + 1);
      const bool within = next ? offset < next->offset : number + 1 >= index_.size();
      if (record && record->offset <= offset && within) {
        last_number_ = number;
        return number;
      }
    }
    const auto number = index_.find_offset(offset);
    last_number_ = number.value_or(0);
    return number;
  }

  fs::path stream_file_;
  TimeIndex index_;
  WallTime changed_at_;
  mutable std::uint64_t last_number_ = 0;
};

// "2026-11-23T06:15:00.123456Z …", or {"time":"2026-11-23T06:15:00.123456Z",…
std::optional<WallTime> time_in(std::string_view line) {
  constexpr std::string_view kEvent = R"({"time":")";
  if (line.starts_with(kEvent)) line.remove_prefix(kEvent.size());
  return parse_time(line.substr(0, line.find_first_of(" \"")));
}

// Such files are short: a few lines for each rank.
class LineTimes : public StreamTimes {
 public:
  explicit LineTimes(const fs::path& file) : file_(file) {}

  void look() override {
    file_.look();
    while (true) {
      const std::string_view block = file_.read_block(buffer_);
      if (block.empty()) return;
      take(block);
    }
  }

  std::optional<WallTime> time_of(std::uint64_t offset) const override {
    const auto beyond = record_beyond(offset);
    if (beyond == records_.begin()) return std::nullopt;
    return std::prev(beyond)->time;
  }

  WallTime order_of(std::uint64_t offset) const override {
    return time_of(offset).value_or(WallTime());
  }

  std::uint64_t change_after(std::uint64_t offset) const override {
    const auto beyond = record_beyond(offset);
    return beyond == records_.end() ? kNoEnd : beyond->offset;
  }

  std::optional<std::uint64_t> first_at(WallTime time) const override {
    const auto found = std::find_if(records_.begin(), records_.end(),
                                    [&](const auto& record) { return record.time >= time; });
    if (found == records_.end()) return std::nullopt;
    return found->offset;
  }

  std::optional<WallTime> newest() const override {
    if (records_.empty()) return std::nullopt;
    return records_.back().time;
  }

 private:
  static constexpr std::size_t kTimeWithin = 64;  // bytes of a line that a time lies in

  std::vector<TimeIndex::Record>::const_iterator record_beyond(std::uint64_t offset) const {
    return std::upper_bound(
        records_.begin(), records_.end(), offset,
        [](std::uint64_t wanted, const auto& record) { return wanted < record.offset; });
  }

  // A line counts from where it begins, once it is complete.
  void take(std::string_view block) {
    while (!block.empty()) {
      const std::size_t newline = block.find('\n');
      const std::string_view part = block.substr(0, newline);
      if (head_.size() < kTimeWithin) head_ += part.substr(0, kTimeWithin - head_.size());
      const bool ends = newline != block.npos;
      const std::size_t used = ends ? newline + 1 : part.size();
      at_ += used;
      block.remove_prefix(used);
      if (!ends) return;
      if (const auto time = time_in(head_)) records_.push_back({*time, line_start_});
      head_.clear();
      line_start_ = at_;
    }
  }

  FollowedFile file_;
  std::vector<TimeIndex::Record> records_;
  std::string buffer_;
  std::string head_;  // the beginning of the line that is not complete yet
  std::uint64_t line_start_ = 0;
  std::uint64_t at_ = 0;
};

class ShiftedTimes : public StreamTimes {
 public:
  ShiftedTimes(std::unique_ptr<StreamTimes> times, WallTime::duration ahead)
      : times_(std::move(times)), ahead_(ahead) {}

  void look() override { times_->look(); }
  std::optional<WallTime> time_of(std::uint64_t offset) const override {
    return shifted(times_->time_of(offset));
  }
  WallTime order_of(std::uint64_t offset) const override {
    return times_->order_of(offset) - ahead_;
  }
  std::uint64_t change_after(std::uint64_t offset) const override {
    return times_->change_after(offset);
  }
  std::optional<std::uint64_t> first_at(WallTime time) const override {
    return times_->first_at(time + ahead_);
  }
  std::optional<WallTime> newest() const override { return shifted(times_->newest()); }

 private:
  std::optional<WallTime> shifted(std::optional<WallTime> time) const {
    if (time) *time -= ahead_;
    return time;
  }

  std::unique_ptr<StreamTimes> times_;
  WallTime::duration ahead_;
};

}  // namespace

std::unique_ptr<StreamTimes> by_another_clock(std::unique_ptr<StreamTimes> times,
                                              std::chrono::nanoseconds ahead) {
  if (ahead == std::chrono::nanoseconds(0)) return times;
  return std::make_unique<ShiftedTimes>(std::move(times),
                                        std::chrono::duration_cast<WallTime::duration>(ahead));
}

std::unique_ptr<StreamTimes> times_of_stream(const fs::path& stream_file) {
  return std::make_unique<IndexedTimes>(stream_file);
}

std::unique_ptr<StreamTimes> times_of_lines(const fs::path& file) {
  return std::make_unique<LineTimes>(file);
}

}  // namespace muster::report
