// What the small test programs share: options, and system calls whose failure ends the program.
//
// They stand in for training processes, so they use nothing of Muster and no sanitizer: what they
// do must be what they seem to do.
#pragma once

#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace program {

[[noreturn]] inline void die(const std::string& message) {
  std::fprintf(stderr, "%s: error: %s\n", program_invocation_short_name, message.c_str());
  std::exit(64);
}

[[noreturn]] inline void die_errno(const std::string& doing) {
  die(doing + ": " + std::strerror(errno));
}

inline std::int64_t to_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0)
    die("'" + std::string(text) + "' is not a number");
  return number;
}

// "200M" is 200 * 2^20; K and G alike.
inline std::uint64_t to_bytes(std::string_view text) {
  unsigned shift = 0;
  if (!text.empty() && text.back() == 'K') shift = 10;
  if (!text.empty() && text.back() == 'M') shift = 20;
  if (!text.empty() && text.back() == 'G') shift = 30;
  if (shift != 0) text.remove_suffix(1);
  return static_cast<std::uint64_t>(to_number(text)) << shift;
}

// Walks over argv: `while (arguments.next())`, then name() and value().
class Arguments {
 public:
  Arguments(int argc, char** argv) : argc_(argc), argv_(argv) {}

  bool next() { return ++index_ < argc_; }
  std::string_view name() const { return argv_[index_]; }

  std::string value() {
    if (index_ + 1 >= argc_) die(std::string(name()) + " needs a value");
    return argv_[++index_];
  }

  [[noreturn]] void unknown() const { die("unknown argument '" + std::string(name()) + "'"); }

 private:
  int argc_;
  char** argv_;
  int index_ = 0;
};

inline std::int64_t number_of_variable(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : to_number(text);
}

// Started by Muster: RANK.  By a bare mpirun: its own name.  By hand: 0.
inline std::int64_t own_rank() {
  return number_of_variable("RANK", number_of_variable("OMPI_COMM_WORLD_RANK", 0));
}

inline void sleep_seconds(double seconds) {
  timespec left{static_cast<time_t>(seconds), 0};
  left.tv_nsec = static_cast<long>((seconds - static_cast<double>(left.tv_sec)) * 1e9);
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

inline double to_seconds(const std::string& text) {
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || seconds < 0) die("'" + text + "' is not a time in seconds");
  return seconds;
}

// Ends this process by the signal's default action, without a core file.
[[noreturn]] inline void end_by_signal(int number) {
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(number, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, number);
  sigprocmask(SIG_UNBLOCK, &one, nullptr);
  raise(number);
  die("signal " + std::to_string(number) + " did not end this process");
}

inline void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) die_errno("writing");
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace program
