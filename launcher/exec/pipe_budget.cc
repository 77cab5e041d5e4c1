#include "launcher/exec/pipe_budget.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace muster::exec {
namespace {

constexpr int kMostEnlarged = 64;
constexpr int kDefaultPipe = 1 << 16;
constexpr int kLargestPipe = 1 << 20;  // beyond it a flood is no faster

int number_in(const char* path) {
  std::string text = read_file(path, 4096).value_or("");
  text = text.substr(0, text.find('\n'));
  const auto number = parse_integer(text).value_or(0);
  return static_cast<int>(std::clamp<std::int64_t>(number, 0, 1 << 30));
}

std::int64_t quarter_of(const PipeLimits& limits) {
  return std::int64_t{limits.user_pages} * limits.page_size / 4;
}

// The kernel tells nobody how much of a user's pipes is left, but it refuses what is too much.
bool are_there(std::int64_t bytes, int pipe_size) {
  std::vector<Pipe> pipes;
  for (; bytes > 0; bytes -= pipe_size) {
    auto pipe = make_pipe();
    if (!pipe || ::fcntl(pipe->read_end.get(), F_SETPIPE_SZ, pipe_size) < pipe_size) return false;
    pipes.push_back(std::move(*pipe));
  }
  return true;
}

}  // namespace

PipeLimits read_pipe_limits() {
  PipeLimits limits;
  limits.page_size = static_cast<int>(::sysconf(_SC_PAGESIZE));
  limits.user_pages = number_in("/proc/sys/fs/pipe-user-pages-soft");
  limits.largest = number_in("/proc/sys/fs/pipe-max-size");
  return limits;
}

int pipe_size_within(const PipeLimits& limits, int pipes) {
  if (pipes < 1 || pipes > kMostEnlarged) return 0;
  int size = kLargestPipe;
  if (limits.largest > 0) size = std::min(size, limits.largest);
  while (limits.user_pages > 0 && size > kDefaultPipe &&
         std::int64_t{size} * pipes > quarter_of(limits)) {
    size /= 2;
  }
  return size > kDefaultPipe ? size : 0;
}

int affordable_pipe_size(int pipes) {
  const PipeLimits limits = read_pipe_limits();
  const int size = pipe_size_within(limits, pipes);
  if (size == 0 || limits.user_pages == 0) return size;
  const int probe = limits.largest > 0 ? std::min(kLargestPipe, limits.largest) : size;
  return are_there(std::int64_t{size} * pipes + quarter_of(limits), probe) ? size : 0;
}

}  // namespace muster::exec
