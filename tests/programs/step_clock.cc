// Loaded before the C library (LD_PRELOAD): CLOCK_REALTIME of one program is off by what a file
// says.
//
//   STEP_PROGRAM   only in a process of that name ("muster")
//   STEP_FILE      8 bytes, little endian: the offset in nanoseconds, read anew at each call, so
//   that a
//                  test can step the clock of a program that runs
//
// Times of files come from the kernel and are not moved.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr long kSecond = 1'000'000'000;

const volatile long* map_offset() {
  static long zero = 0;
  const char* program = getenv("STEP_PROGRAM");
  const char* path = getenv("STEP_FILE");
  if (program == nullptr || path == nullptr) return &zero;
  if (strcmp(program, program_invocation_short_name) != 0) return &zero;
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return &zero;
  void* memory = mmap(nullptr, 8, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return memory == MAP_FAILED ? &zero : static_cast<const volatile long*>(memory);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const volatile long* offset = map_offset();
  const long result = syscall(SYS_clock_gettime, clock, time);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) {
    return static_cast<int>(result);
  }
  const long nanoseconds = time->tv_nsec + *offset % kSecond + kSecond;
  time->tv_sec += *offset / kSecond + nanoseconds / kSecond - 1;
  time->tv_nsec = nanoseconds % kSecond;
  return 0;
}

int gettimeofday(timeval* time, void*) noexcept {
  timespec now{};
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* into) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != nullptr) *into = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
