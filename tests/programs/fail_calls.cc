// Loaded before the C library (LD_PRELOAD): chosen system calls of one program fail, on files below
// one directory.
//
//   FAIL_PROGRAM   only in a process of that name ("muster")
//   FAIL_BELOW     only on files whose path begins so
//   FAIL_CALLS     names with commas: open write fdatasync fsync syncfs ftruncate rename fallocate
//   unlink.
//                  `write` is write, writev, pwrite and pwritev; `open` only where a file may be
//                  made, and not by openat2, which has no wrapper in the C library
//   FAIL_HOW       EIO, ENOSPC, EDQUOT, ENOMEM, EINTR, or `short`: half of the bytes are written
//   FAIL_FROM      the number of the first call that fails, from 1 [1]
//   FAIL_COUNT     how many fail, one after the other [1]
//   FAIL_EVERY     after FAIL_FROM every so many-th call fails instead
//   FAIL_LOG       a line "call path" is appended for each failure
//
// A failed fdatasync, fsync or syncfs still does its work: what is tested is who believes it.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>

namespace {

struct Orders {
  bool wanted = false;
  const char* below = "";
  const char* calls = "";
  bool is_short = false;
  int error = EIO;
  long from = 1;
  long count = 1;
  long every = 0;
  const char* log = nullptr;
};

long number(const char* name, long otherwise) {
  const char* text = getenv(name);
  return text == nullptr ? otherwise : atol(text);
}

Orders read_orders() {
  Orders orders;
  const char* program = getenv("FAIL_PROGRAM");
  orders.wanted = program != nullptr && strcmp(program, program_invocation_short_name) == 0;
  if (!orders.wanted) return orders;
  if (const char* below = getenv("FAIL_BELOW")) orders.below = below;
  if (const char* calls = getenv("FAIL_CALLS")) orders.calls = calls;
  const char* how = getenv("FAIL_HOW");
  const struct {
    const char* name;
    int value;
  } errors[] = {
      {"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT}, {"ENOMEM", ENOMEM}, {"EINTR", EINTR}};
  for (const auto& each : errors) {
    if (how != nullptr && strcmp(how, each.name) == 0) orders.error = each.value;
  }
  orders.is_short = how != nullptr && strcmp(how, "short") == 0;
  orders.from = number("FAIL_FROM", 1);
  orders.count = number("FAIL_COUNT", 1);
  orders.every = number("FAIL_EVERY", 0);
  orders.log = getenv("FAIL_LOG");
  return orders;
}

// Read once: the program may change its environment.
const Orders& orders() {
  static const Orders read = read_orders();
  return read;
}

std::atomic<long> calls_made{0};

bool is_listed(const char* call) {
  const size_t length = strlen(call);
  for (const char* at = orders().calls; (at = strstr(at, call)) != nullptr; at += length) {
    const bool begins = at == orders().calls || at[-1] == ',';
    if (begins && (at[length] == ',' || at[length] == '\0')) return true;
  }
  return false;
}

void tell(const char* call, const char* path) {
  if (orders().log == nullptr) return;
  char line[4400];
  const int length = snprintf(line, sizeof line, "%s %s\n", call, path);
  const long fd = syscall(SYS_openat, AT_FDCWD, orders().log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (fd < 0) return;
  syscall(SYS_write, fd, line, static_cast<size_t>(length));
  syscall(SYS_close, fd);
}

bool is_chosen(const char* call, const char* path) {
  if (!orders().wanted || !is_listed(call)) return false;
  if (strncmp(path, orders().below, strlen(orders().below)) != 0) return false;
  const long nth = ++calls_made;
  const long after = nth - orders().from;
  const bool fails =
      after >= 0 && (orders().every > 0 ? after % orders().every == 0 : after < orders().count);
  if (fails) tell(call, path);
  return fails;
}

bool is_chosen(const char* call, int fd) {
  if (!orders().wanted) return false;
  char link[40];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return false;
  path[length] = '\0';
  return is_chosen(call, path);
}

// Of a name relative to a directory descriptor.
bool is_chosen_at(const char* call, int directory, const char* name) {
  if (!orders().wanted) return false;
  if (name[0] == '/') return is_chosen(call, name);
  char link[40] = "/proc/self/cwd";
  if (directory != AT_FDCWD) snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  char path[8300];
  const ssize_t length = readlink(link, path, 4095);
  if (length <= 0) return false;
  snprintf(path + length, sizeof path - static_cast<size_t>(length), "/%s", name);
  return is_chosen(call, path);
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

int fail() {
  errno = orders().error;
  return -1;
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  if (is_chosen("write", fd)) {
    if (!orders().is_short) return fail();
    if (size > 1) size /= 2;
  }
  return syscall(SYS_write, fd, bytes, size);
}

ssize_t writev(int fd, const iovec* pieces, int count) {
  if (is_chosen("write", fd)) {
    if (!orders().is_short) return fail();
    if (count > 0) return syscall(SYS_write, fd, pieces[0].iov_base, (pieces[0].iov_len + 1) / 2);
  }
  return syscall(SYS_writev, fd, pieces, count);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  if (is_chosen("write", fd)) {
    if (!orders().is_short) return fail();
    if (size > 1) size /= 2;
  }
  return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return pwrite64(fd, bytes, size, offset);
}

ssize_t pwritev64(int fd, const iovec* pieces, int count, off64_t offset) {
  if (is_chosen("write", fd)) {
    if (!orders().is_short) return fail();
    if (count > 0) {
      return syscall(SYS_pwrite64, fd, pieces[0].iov_base, (pieces[0].iov_len + 1) / 2, offset);
    }
  }
  return next<ssize_t(int, const iovec*, int, off64_t)>("pwritev64")(fd, pieces, count, offset);
}

ssize_t pwritev(int fd, const iovec* pieces, int count, off_t offset) {
  return pwritev64(fd, pieces, count, offset);
}

int fdatasync(int fd) {
  const long result = syscall(SYS_fdatasync, fd);
  return is_chosen("fdatasync", fd) ? fail() : static_cast<int>(result);
}

int fsync(int fd) {
  const long result = syscall(SYS_fsync, fd);
  return is_chosen("fsync", fd) ? fail() : static_cast<int>(result);
}

int syncfs(int fd) noexcept {
  const long result = syscall(SYS_syncfs, fd);
  return is_chosen("syncfs", fd) ? fail() : static_cast<int>(result);
}

int ftruncate64(int fd, off64_t size) noexcept {
  if (is_chosen("ftruncate", fd)) return fail();
  return static_cast<int>(syscall(SYS_ftruncate, fd, size));
}

int ftruncate(int fd, off_t size) noexcept {
  return ftruncate64(fd, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
  if (is_chosen("fallocate", fd)) return fail();
  return static_cast<int>(syscall(SYS_fallocate, fd, mode, offset, size));
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  return fallocate64(fd, mode, offset, size);
}

int renameat2(int from, const char* old_name, int to, const char* new_name,
              unsigned flags) noexcept {
  if (is_chosen_at("rename", to, new_name)) return fail();
  return static_cast<int>(syscall(SYS_renameat2, from, old_name, to, new_name, flags));
}

int renameat(int from, const char* old_name, int to, const char* new_name) noexcept {
  return renameat2(from, old_name, to, new_name, 0);
}

int rename(const char* old_name, const char* new_name) noexcept {
  return renameat2(AT_FDCWD, old_name, AT_FDCWD, new_name, 0);
}

int unlinkat(int directory, const char* name, int flags) noexcept {
  if (is_chosen_at("unlink", directory, name)) return fail();
  return static_cast<int>(syscall(SYS_unlinkat, directory, name, flags));
}

int unlink(const char* name) noexcept {
  return unlinkat(AT_FDCWD, name, 0);
}

int openat64(int directory, const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  if ((flags & O_CREAT) != 0 && is_chosen_at("open", directory, name)) return fail();
  return static_cast<int>(syscall(SYS_openat, directory, name, flags, mode));
}

int openat(int directory, const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  return openat64(directory, name, flags, mode);
}

int open64(const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  return openat64(AT_FDCWD, name, flags, mode);
}

int open(const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  return openat64(AT_FDCWD, name, flags, mode);
}

}  // extern "C"
