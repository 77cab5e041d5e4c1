// Metrics of a training program, for Muster to store: a header alone, C++17, nothing to link.
//
//   #include <muster/metrics.h>
//
//   muster::Metrics metrics;                // in a run of Muster's; else nothing happens
//   metrics.log("loss", 0.25, step);
//   metrics.log("loss", 0.31, step, {{"split", "validation"}});
//
// Each call writes a line to the FIFO that the variable MUSTER_METRICS names, in one write, so that
// lines of several threads and processes never mix.  It never waits: when the FIFO is full because
// the launcher stands still, the line is dropped and counted.  Any thread may call log().
#pragma once

#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace muster {

class Metrics {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // Longer lines are not written: what a pipe takes in one piece (PIPE_BUF of Linux).
  static constexpr std::size_t kLongestLine = 4096;
  static constexpr std::size_t kLongestName = 255;
  static constexpr std::size_t kMostLabels = 16;

  Metrics() : Metrics(std::getenv("MUSTER_METRICS")) {}
  // The FIFO by its path; nullptr or "": none, and nothing is written.
  explicit Metrics(const char* fifo) {
    if (fifo == nullptr || *fifo == '\0') return;
    fd_ = ::open(fifo, O_WRONLY | O_NONBLOCK | O_APPEND | O_CLOEXEC);
  }
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics() {
    if (fd_ >= 0) ::close(fd_);
  }

  // Whether somebody takes what is logged.
  bool active() const { return fd_ >= 0; }
  // Lines that could not be written: the FIFO was full, a line too long, a name or label none that
  // is taken (below).
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  // A name is 1 to 255 bytes of UTF-8 without control characters; a label's key has no comma and
  // no `=`, its text no comma, and there are at most 16.
  //
  // False when the line was dropped.  Without a FIFO: true, there is nothing to be lost.
  bool log(std::string_view name, double value, Labels labels = {}) {
    return active() ? write(line_of(name, value, nullptr, labels)) : true;
  }
  bool log(std::string_view name, double value, std::int64_t step, Labels labels = {}) {
    return active() ? write(line_of(name, value, &step, labels)) : true;
  }

 private:
  // {"name":"loss","value":0.25,"step":100,"split":"validation"}; "" when a name is none.
  static std::string line_of(std::string_view name, double value, const std::int64_t* step,
                             Labels labels) {
    if (name.empty() || !is_text(name) || labels.size() > kMostLabels) return {};
    for (const auto& [label, text] : labels) {
      if (label.empty() || label.find_first_of(",=") != label.npos || !is_text(label)) return {};
      if (text.find(',') != text.npos || !is_text(text)) return {};
    }
    std::string line = number(value);
    line.insert(0, "{\"name\":" + quoted(name) + ",\"value\":");
    if (step != nullptr) line += ",\"step\":" + std::to_string(*step);
    if (labels.size() > 0) {
      line += ",\"labels\":{";
      bool first = true;
      for (const auto& [label, text] : labels) {
        if (!first) line += ',';
        first = false;
        line += quoted(label) + ":" + quoted(text);
      }
      line += '}';
    }
    return line + "}\n";
  }

  // UTF-8 of at most 255 bytes, without control characters: others are not taken.
  static bool is_text(std::string_view text) {
    if (text.size() > kLongestName) return false;
    for (std::size_t at = 0; at < text.size();) {
      const auto first = static_cast<unsigned char>(text[at]);
      if (first < 0x20 || first == 0x7f) return false;
      const std::size_t length = first < 0x80   ? 1
                                 : first < 0xc2 ? 0
                                 : first < 0xe0 ? 2
                                 : first < 0xf0 ? 3
                                 : first < 0xf5 ? 4
                                                : 0;
      if (length == 0 || text.size() - at < length) return false;
      for (std::size_t i = 1; i < length; ++i) {
        if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return false;
      }
      const auto second = length > 2 ? static_cast<unsigned char>(text[at + 1]) : 0;
      // Longer than needed, halves of UTF-16 pairs, beyond U+10FFFF.
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
          (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
        return false;
      }
      at += length;
    }
    return true;
  }

  // JSON has no word for what is no number: those three are texts.
  static std::string number(double value) {
    if (std::isnan(value)) return "\"NaN\"";
    if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    char text[32];
    std::snprintf(text, sizeof text, "%.17g", value);
    for (char& c : text) {
      if (c == ',') c = '.';  // of a locale
      if (c == '\0') break;
    }
    return text;
  }

  static std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        out += '\\';
        out += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        char code[8];
        std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
        out += code;
      } else {
        out += c;
      }
    }
    return out + '"';
  }

  bool write(const std::string& line) {
    const bool fits = !line.empty() && line.size() <= kLongestLine;
    if (fits && put(line)) return true;
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }

  // A FIFO whose reader is gone must not end the program, whatever it does with SIGPIPE.
  bool put(const std::string& line) const {
    sigset_t pipe_signal;
    sigset_t before;
    sigset_t pending;
    ::sigemptyset(&pipe_signal);
    ::sigaddset(&pipe_signal, SIGPIPE);
    ::sigpending(&pending);
    const bool was_pending = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t written = 0;
    do {
      written = ::write(fd_, line.data(), line.size());
    } while (written < 0 && errno == EINTR);
    const bool broken = written < 0 && errno == EPIPE;
    if (broken && !was_pending) {
      const timespec at_once = {0, 0};
      ::sigtimedwait(&pipe_signal, nullptr, &at_once);
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return written == static_cast<ssize_t>(line.size());
  }

  int fd_ = -1;
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace muster
