#include "launcher/report/log_stream.h"

#include <algorithm>
#include <deque>

#include "base/text.h"
#include "launcher/report/missing_bytes.h"

// A line belongs to the time of its last byte: only then it is a line, and only so a reader that
// follows puts it where one that comes later does.  So a block that ends where the time changes
// completes lines of one time.
namespace muster::report {

LogStream::LogStream(LogSource source, const LogOptions& options)
    : source_(std::move(source)),
      options_(options),
      file_(source_.file),
      times_(by_another_clock(
          source_.times_in_lines ? times_of_lines(source_.file) : times_of_stream(source_.file),
          source_.clock_ahead)),
      lines_({options.color, source_.prefix}),
      shown_({options.color && !options.json, ""}) {
  if (!options.raw) file_.pass_holes();
}

void LogStream::look(bool growing) {
  // The file first: the time of what it holds then is known.
  file_.look();
  const bool timed = options_.merge || options_.timestamps || options_.json;
  if (timed || options_.since || options_.until) times_->look();
  if (!begun_) begin(growing);
  begun_ = true;
}

void LogStream::begin(bool growing) {
  if (!file_.is_open()) return;
  if (options_.until) {
    // All of that microsecond: times are shown so.
    const auto beyond = times_->first_at(*options_.until + std::chrono::microseconds(1));
    if (beyond) end_ = file_.line_start(*beyond);
  }
  std::uint64_t start = 0;
  if (options_.since) {
    const auto first = times_->first_at(*options_.since);
    start = first || growing ? file_.line_start(first.value_or(file_.size())) : file_.size();
  }
  if (options_.tail) {
    start = options_.grep ? last_matches_start(start, *options_.tail)
                          : std::max(start, file_.last_lines_start(end_, *options_.tail));
  }
  file_.seek(start);
}

// Where the last `count` lines from `start` on begin that match.
std::uint64_t LogStream::last_matches_start(std::uint64_t start, std::uint64_t count) {
  const std::uint64_t end = std::min(end_, file_.size());
  if (count == 0) return end;
  std::deque<std::uint64_t> begins;
  const auto take = [&](const CutLine& line) {
    if (!is_wanted(line)) return;
    begins.push_back(line.offset);
    if (begins.size() > count) begins.pop_front();
  };
  LineCutter cutter;
  std::string buffer;
  file_.seek(start);
  while (file_.offset() < end) {
    if (const store::Gap* gap = gap_here()) {
      cutter.flush(take);
      file_.seek(*gap->to);
      continue;
    }
    const std::uint64_t offset = file_.offset();
    const std::string_view block = file_.read_block(buffer, std::min(end, gap_after(offset)));
    if (file_.take_hole()) {
      cutter.flush(take);
    } else if (block.empty()) {
      break;
    }
    cutter.add(block, file_.offset() - block.size(), take);
  }
  cutter.flush(take);
  return begins.empty() ? end : begins.front();
}

const store::Gap* LogStream::gap_here() const {
  for (const store::Gap& gap : gaps_) {
    if (gap.to && gap.from <= file_.offset() && file_.offset() < *gap.to) return &gap;
  }
  return nullptr;
}

std::uint64_t LogStream::gap_after(std::uint64_t offset) const {
  std::uint64_t next = FollowedFile::kNoEnd;
  for (const store::Gap& gap : gaps_) {
    if (gap.to && gap.from > offset) next = std::min(next, gap.from);
  }
  return next;
}

std::optional<plan::WallTime> LogStream::next() const {
  if (!file_.is_open() || file_.failure() != 0 || has_enough()) return std::nullopt;
  const bool more = file_.offset() < std::min(end_, file_.size());
  if (!more && (file_.offset() >= end_ || gap_here() == nullptr)) return std::nullopt;
  order_ = std::max(order_, times_->order_of(file_.offset()));
  return order_;
}

bool LogStream::read_block(std::string& buffer, std::string& output) {
  if (has_enough()) return false;
  const std::uint64_t offset = file_.offset();
  std::uint64_t end = end_;
  if (!options_.raw) {
    const store::Gap* gap = file_.is_open() && offset < end_ ? gap_here() : nullptr;
    if (gap != nullptr) {
      tell(*gap, output);
      file_.seek(*gap->to);
      return true;
    }
    end = std::min(end, gap_after(offset));
  }
  if (options_.merge || options_.timestamps || options_.json) {
    end = std::min(end, times_->change_after(offset));
  }
  const std::string_view block = file_.read_block(buffer, end);
  // What was freed because a collector has it is a hole as well.
  const auto hole = file_.take_hole();
  if (hole) tell({hole->from, hole->to, missing_bytes_reason(source_.file, hole->from)}, output);
  if (block.empty()) return hole.has_value();
  if (options_.raw) {
    output += block;
    return true;
  }
  const std::uint64_t begin = file_.offset() - block.size();
  time_ = options_.timestamps || options_.json ? times_->time_of(begin) : std::nullopt;
  if (picks()) {
    cutter_.add(block, begin, [&](const CutLine& line) { show(line, output); });
    return true;
  }
  if (options_.timestamps) lines_.set_prefix(prefix());
  lines_.add(block, output);
  return true;
}

std::string LogStream::prefix() const {
  if (!options_.timestamps) return source_.prefix;
  return (time_ ? format_utc(*time_) : "-") + " " + source_.prefix;
}

// Makes line_ of it, as it is shown.
bool LogStream::is_wanted(const CutLine& line) {
  if (options_.json && !options_.grep) return true;
  line_.clear();
  shown_.add(line.bytes, line_);
  shown_.add("\n", line_);
  if (!line_.empty()) line_.pop_back();
  return !options_.grep || options_.grep->matches(line_);
}

void LogStream::show(const CutLine& line, std::string& output) {
  if (has_enough() || !is_wanted(line)) return;
  ++taken_;
  if (options_.json) {
    output += json_line(source_.labels, time_, line);
    return;
  }
  output += prefix() + line_;
  output += line.newline || line.bytes.size() < ConsoleLines::kMaxLine ? "\n" : " …\n";
}

void LogStream::flush(std::string& output) {
  lines_.flush(output);
  cutter_.flush([&](const CutLine& line) { show(line, output); });
  if (options_.raw || has_enough()) return;
  for (const store::Gap& gap : gaps_) {
    if (!gap.to && gap.from >= file_.offset() && gap.from < end_ && told_open_gap_ != gap.from) {
      tell(gap, output);
      told_open_gap_ = gap.from;
    }
  }
  tell_cut(output);
}

// What the ledger says was stored, and no gap is, and the file has not: somebody took it away.
void LogStream::tell_cut(std::string& output) {
  const std::uint64_t size = file_.is_open() ? file_.size() : 0;
  if (told_cut_ || options_.until || file_.failure() != 0 || length_ <= size) return;
  const bool is_known = std::any_of(gaps_.begin(), gaps_.end(), [&](const store::Gap& gap) {
    return gap.from <= size && gap.to.value_or(length_) > size;
  });
  if (is_known) return;
  tell({size, length_, file_.is_open() ? "its file was cut" : "its file is gone"}, output);
  told_cut_ = true;
}

// What stands before it is all that there is of its line.
void LogStream::tell(const store::Gap& gap, std::string& output) {
  lines_.flush(output);
  cutter_.flush([&](const CutLine& line) { show(line, output); });
  if (options_.json) {
    output += json_line(source_.labels, times_->time_of(gap.from), gap);
    return;
  }
  if (options_.timestamps) time_ = times_->time_of(gap.from);
  output += prefix() + missing_bytes_line(gap.from, gap.to, gap.reason) + "\n";
}

}  // namespace muster::report
