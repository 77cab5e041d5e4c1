#include "launcher/report/last_lines.h"

#include <algorithm>
#include <cstdint>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/report/console_text.h"
#include "launcher/report/gap_marks.h"

namespace muster::report {
namespace {

struct Tail {
  std::uint64_t offset = 0;
  std::string bytes;
  bool is_whole_file = true;
};

Tail read_tail(const std::filesystem::path& path, std::size_t max_bytes) {
  Tail tail;
  const Result<Fd> fd = open_file(path, O_RDONLY);
  struct stat status {};
  if (!fd || ::fstat(fd->get(), &status) != 0 || !S_ISREG(status.st_mode)) return tail;

  const auto size = static_cast<std::uint64_t>(status.st_size);
  std::uint64_t offset = size - std::min<std::uint64_t>(size, max_bytes);
  tail.offset = offset;
  tail.is_whole_file = offset == 0;
  while (offset < size) {
    char block[16 * 1024];
    const ssize_t count =
        ::pread(fd->get(), block, std::min<std::uint64_t>(sizeof block, size - offset),
                static_cast<off_t>(offset));
    if (count <= 0) break;
    tail.bytes.append(block, static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return tail;
}

}  // namespace

std::vector<std::string> last_lines(const std::filesystem::path& path, std::size_t count,
                                    std::size_t max_bytes) {
  const Tail tail = read_tail(path, max_bytes);
  std::string_view bytes = tail.bytes;
  // The first line lacks its beginning; it is left out unless it is all there is, or what lacks is
  // not stored.
  const std::size_t newline = bytes.find('\n');
  if (!tail.is_whole_file && newline + 1 < bytes.size() && newline != bytes.npos &&
      bytes.front() != '\0') {
    bytes.remove_prefix(newline + 1);
  }

  std::string text;
  ConsoleLines console({false, ""});
  const std::uint64_t offset = tail.offset + (tail.bytes.size() - bytes.size());
  GapMarks(path).add(offset, bytes, console, text);
  console.flush(text);
  if (text.empty()) return {};
  text.pop_back();
  std::vector<std::string> lines = split(text, '\n');
  const std::size_t surplus = lines.size() - std::min(lines.size(), count);
  lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(surplus));
  return lines;
}

}  // namespace muster::report
