// Writes bytes that are a function of rank and offset, so that a test can check any stored byte.
//
// flood_bytes.h says which; payload_check compares.
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
//   --rate N             bytes a second, at most [as fast as they go]
#include "program.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include "flood_bytes.h"

namespace {

struct Options {
  std::uint64_t bytes = 0;
  flood::Payload payload;
  std::size_t chunk = 64 << 10;
  int fd = STDOUT_FILENO;
  std::string count_file;
  bool print_count = false;
  int kill_self = 0;
  double pause = 0;
  std::uint64_t rate = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  options.payload.rank = static_cast<std::uint64_t>(program::own_rank());
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    const std::string_view name = arguments.name();
    if (name == "--bytes") {
      options.bytes = program::to_bytes(arguments.value());
    } else if (name == "--no-newline-for") {
      options.payload.no_newline_for = program::to_bytes(arguments.value());
    } else if (name == "--rank") {
      options.payload.rank = static_cast<std::uint64_t>(program::to_number(arguments.value()));
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
    } else if (name == "--rate") {
      options.rate = program::to_bytes(arguments.value());
    } else {
      arguments.unknown();
    }
  }
  if (options.chunk == 0) program::die("--chunk must be above 0");
  return options;
}

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
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
  const double begin = now();
  for (std::uint64_t offset = 0; offset < options.bytes; offset += block.size()) {
    options.payload.fill(block, offset);
    std::string_view rest(block.data(),
                          std::min<std::uint64_t>(block.size(), options.bytes - offset));
    while (!rest.empty()) {
      const std::string_view chunk = rest.substr(0, options.chunk);
      write_counted(options, chunk, count);
      rest.remove_prefix(chunk.size());
      if (options.pause > 0) program::sleep_seconds(options.pause);
      if (options.rate > 0) {
        const double due = begin + static_cast<double>(*count) / static_cast<double>(options.rate);
        program::sleep_seconds(std::max(0.0, due - now()));
      }
    }
  }
  if (options.kill_self != 0) program::end_by_signal(options.kill_self);
  if (options.print_count)
    std::fprintf(stderr, "wrote %llu\n", static_cast<unsigned long long>(*count));
  return 0;
}
