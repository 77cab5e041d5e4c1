// Writes bytes that are a function of rank and offset, so that a test can check any stored byte.
//
// Eight bytes at offset 8k are the little-endian splitmix64 of (rank << 40) + k; they contain every
// byte value, invalid UTF-8 included.  In the first --no-newline-for bytes each newline is a
// vertical tab instead.  tests/support/muster_test.py has the same function.
//
//   --bytes N            how many (K, M, G: powers of 1024)
//   --no-newline-for N   length of the first, newline-free part [0]
//   --rank R             [RANK]
//   --chunk N            bytes per write() [64K]
//   --stderr             writes there instead of to stdout
//   --count-file FILE    8 bytes, little endian: what write() has returned so far, added up; it is
//                        mapped, so it survives any end of this process
//   --print-count        at the end, "wrote N" on stderr
//   --kill-self SIGNAL   right after the last write()
//   --pause SECONDS      between two writes [0]
#include "program.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

namespace {

struct Options {
  std::uint64_t bytes = 0;
  std::uint64_t no_newline_for = 0;
  std::uint64_t rank = 0;
  std::size_t chunk = 64 << 10;
  int fd = STDOUT_FILENO;
  std::string count_file;
  bool print_count = false;
  int kill_self = 0;
  double pause = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  options.rank = static_cast<std::uint64_t>(program::own_rank());
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    const std::string_view name = arguments.name();
    if (name == "--bytes") {
      options.bytes = program::to_bytes(arguments.value());
    } else if (name == "--no-newline-for") {
      options.no_newline_for = program::to_bytes(arguments.value());
    } else if (name == "--rank") {
      options.rank = static_cast<std::uint64_t>(program::to_number(arguments.value()));
    } else if (name == "--chunk") {
      options.chunk = program::to_bytes(arguments.value());
    } else if (name == "--stderr") {
      options.fd = STDERR_FILENO;
    } else if (name == "--count-file") {
      options.count_file = arguments.value();
    } else if (name == "--print-count") {
      options.print_count = true;
    } else if (name == "--kill-self") {
      options.kill_self = static_cast<int>(program::to_number(arguments.value()));
    } else if (name == "--pause") {
      options.pause = program::to_seconds(arguments.value());
    } else {
      arguments.unknown();
    }
  }
  if (options.chunk == 0) program::die("--chunk must be above 0");
  return options;
}

std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// Fills `buffer` with the bytes from `offset` on; offset is a multiple of 8.
void fill(std::vector<char>& buffer, const Options& options, std::uint64_t offset) {
  for (std::size_t at = 0; at < buffer.size(); at += 8) {
    const std::uint64_t word = mixed((options.rank << 40) + (offset + at) / 8);
    std::memcpy(&buffer[at], &word, 8);
  }
  if (offset >= options.no_newline_for) return;
  const auto length = std::min<std::uint64_t>(buffer.size(), options.no_newline_for - offset);
  std::replace(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(length), '\n', '\v');
}

volatile std::uint64_t* map_count(const std::string& path) {
  static std::uint64_t nowhere = 0;
  if (path.empty()) return &nowhere;
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || ftruncate(fd, 8) != 0) program::die_errno(path);
  void* memory = mmap(nullptr, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) program::die_errno(path);
  close(fd);
  return static_cast<volatile std::uint64_t*>(memory);
}

void write_counted(const Options& options, std::string_view bytes, volatile std::uint64_t* count) {
  while (!bytes.empty()) {
    const ssize_t written = write(options.fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) program::die_errno("writing");
    *count = *count + static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  volatile std::uint64_t* count = map_count(options.count_file);
  *count = 0;

  std::vector<char> block(1 << 20);
  for (std::uint64_t offset = 0; offset < options.bytes; offset += block.size()) {
    fill(block, options, offset);
    std::string_view rest(block.data(),
                          std::min<std::uint64_t>(block.size(), options.bytes - offset));
    while (!rest.empty()) {
      const std::string_view chunk = rest.substr(0, options.chunk);
      write_counted(options, chunk, count);
      rest.remove_prefix(chunk.size());
      if (options.pause > 0) program::sleep_seconds(options.pause);
    }
  }
  if (options.kill_self != 0) program::end_by_signal(options.kill_self);
  if (options.print_count)
    std::fprintf(stderr, "wrote %llu\n", static_cast<unsigned long long>(*count));
  return 0;
}
