#include "collector/store/driver_log.h"

#include <fcntl.h>

#include <algorithm>

#include "base/text.h"

namespace muster::store {
namespace {

// What has no end for so long is no line.
constexpr std::size_t kLongestLine = 1 << 16;

}  // namespace

void DriverLog::begin(std::string_view head) {
  if (begun_) return;
  begun_ = true;
  auto fd = open_file(path_, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
  if (!fd) {
    problem_ = fd.error().message;
    return;
  }
  fd_ = std::move(*fd);
  write(head);
  append(Stream::kStdout, "");
  append(Stream::kStderr, "");
}

void DriverLog::append(Stream stream, std::string_view bytes) {
  std::string& unfinished = unfinished_[stream == Stream::kStdout ? 0 : 1];
  if (!begun_) {
    unfinished += bytes;
    return;
  }
  // A progress bar begins its lines with \r and never ends them: each state is a line.
  const auto end_of_lines = [](std::string_view text) { return text.find_last_of("\n\r") + 1; };
  if (!unfinished.empty()) {
    unfinished += bytes;
    const std::size_t end =
        unfinished.size() > kLongestLine ? unfinished.size() : end_of_lines(unfinished);
    write_output(std::string_view(unfinished).substr(0, end));
    unfinished.erase(0, end);
    return;
  }
  const std::size_t end = bytes.size() > kLongestLine && end_of_lines(bytes) == 0
                              ? bytes.size()
                              : end_of_lines(bytes);  // npos + 1 is 0
  write_output(bytes.substr(0, end));
  unfinished = bytes.substr(end);
}

void DriverLog::end(std::string_view tail) {
  begin("");  // of a rank that never started
  for (std::string& unfinished : unfinished_) {
    write_output(unfinished);
    unfinished.clear();
  }
  if (last_ != '\n') write("\n");
  write(tail);
  fd_.reset();
}

void DriverLog::write_output(std::string_view bytes) {
  const std::uint64_t room = most_ - output_;
  const bool full = bytes.size() > room;
  if (output_ < most_ || !full) write(bytes.substr(0, std::min<std::uint64_t>(room, bytes.size())));
  if (full && output_ < most_) {
    write("\nmuster: this view ends after " + format_bytes(most_) +
          "; all of the output is in stdout.log and stderr.log beside " + path_.string() + "\n");
  }
  output_ = std::min(most_, output_ + bytes.size());
}

void DriverLog::write(std::string_view bytes) {
  if (!fd_ || bytes.empty()) return;
  if (auto written = write_all(fd_, bytes); !written) {
    problem_ = path_.string() + " ends early: " + written.error().message;
    fd_.reset();
    return;
  }
  last_ = bytes.back();
}

}  // namespace muster::store
