// Writes MEGABYTES to stdout in blocks of 64 KiB, as fast as the other end takes them.
//
//   block_flood MEGABYTES [TIMES]
//
// With TIMES it appends when its first write began to that file: CLOCK_MONOTONIC in nanoseconds,
// one line for each process.  The bytes are printable, 128 to a line: a forwarder that looks for
// lines finds some.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr int kBlock = 64 << 10;
constexpr int kLine = 128;

bool write_all(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t written = write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

bool append_time(const char* path) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  char line[32];
  const int length = snprintf(line, sizeof line, "%lld\n",
                              static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const bool written = fd >= 0 && write_all(fd, line, static_cast<size_t>(length));
  if (fd >= 0) close(fd);
  return written;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 64;
  static char block[kBlock];
  for (int at = 0; at < kBlock; ++at) {
    block[at] = at % kLine == kLine - 1 ? '\n' : static_cast<char>('!' + at % 90);
  }
  if (argc > 2 && !append_time(argv[2])) {
    perror(argv[2]);
    return 1;
  }
  for (long left = atol(argv[1]) * ((1 << 20) / kBlock); left > 0; --left) {
    if (!write_all(STDOUT_FILENO, block, kBlock)) {
      perror("block_flood");
      return 1;
    }
  }
  return 0;
}
