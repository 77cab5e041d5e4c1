#include "launcher/report/log_stream.h"

#include <algorithm>

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
      times_(source_.times_in_lines ? times_of_lines(source_.file) : times_of_stream(source_.file)),
      lines_({options.color, source_.prefix}) {
  if (!options.raw) file_.pass_holes();
}

void LogStream::look(bool growing) {
  // The file first: the time of what it holds then is known.
  file_.look();
  if (options_.merge || options_.timestamps || options_.since || options_.until) times_->look();
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
  if (options_.tail) start = std::max(start, file_.last_lines_start(end_, *options_.tail));
  file_.seek(start);
}

std::optional<plan::WallTime> LogStream::next() const {
  if (file_.offset() >= std::min(end_, file_.size()) || file_.failure() != 0) return std::nullopt;
  order_ = std::max(order_, times_->order_of(file_.offset()));
  return order_;
}

bool LogStream::read_block(std::string& buffer, std::string& output) {
  std::uint64_t end = end_;
  if (options_.merge || options_.timestamps) {
    end = std::min(end, times_->change_after(file_.offset()));
  }
  const std::uint64_t offset = file_.offset();
  const std::string_view block = file_.read_block(buffer, end);
  const auto hole = file_.take_hole();
  if (hole) {
    lines_.flush(output);
    lines_.add(missing_bytes_line(source_.file, hole->from, hole->to) + "\n", output);
  }
  if (block.empty()) return hole.has_value();
  if (options_.raw) {
    output += block;
    return true;
  }
  if (options_.timestamps) {
    const auto time = times_->time_of(offset);
    lines_.set_prefix((time ? format_utc(*time) : "-") + " " + source_.prefix);
  }
  lines_.add(block, output);
  return true;
}

}  // namespace muster::report
