// Writes what breaks programs that take output for text: the same bytes for the same seed.
//
//   odd_output KIND --bytes N [--seed S] [--pause SECONDS]
//
//   lines-never   any byte but a newline
//   progress      "\rstep 17 loss 0.5 ####", a carriage return and never a newline; --pause is
//                 between two of them
//   terminal      colours, cursor movements, titles, links, device controls, bells; some cut short
//   not-utf8      overlong forms, lone continuation bytes, surrogates, cut sequences, between words
//   zeros         zero bytes, with a word here and there
#include "program.h"

#include <random>

namespace {

std::mt19937_64 chance;

std::size_t below(std::size_t bound) {
  return static_cast<std::size_t>(chance() % bound);
}

template <std::size_t Count>
std::string_view one_of(const std::string_view (&words)[Count]) {
  return words[below(Count)];
}

using namespace std::string_view_literals;

std::string piece_without_newline() {
  std::string piece(4096, '\0');
  for (char& each : piece) {
    each = static_cast<char>(chance());
    if (each == '\n') each = '\v';
  }
  return piece;
}

std::string piece_of_progress() {
  static std::uint64_t step = 0;
  std::string piece = "\rstep " + std::to_string(++step) + " loss 0." + std::to_string(below(1000));
  return piece + " " + std::string(step % 60, '#');
}

std::string piece_for_terminals() {
  static constexpr std::string_view kWords[] = {
      "loss 0.25"sv,
      "\x1b[31mred\x1b[0m"sv,
      "\x1b[38;5;200m"sv,
      "\x1b[2J\x1b[H"sv,
      "\x1b[1A\x1b[2K"sv,
      "\x1b]0;owned\x07"sv,
      "\x1b]8;;http://127.0.0.1/\x1b\\link\x1b]8;;\x1b\\"sv,
      "\x1b]52;c;cm0gLXJm\x07"sv,
      "\x1bP$q\"p\x1b\\"sv,
      "\x1b[6n"sv,
      "\x1b[?1049h"sv,
      "\x1b[?25l"sv,
      "\a\a"sv,
      "\x9b"
      "31m"sv,
      "\x1b["sv,
      "\x1b]2;"sv,
      "\b\b\b   "sv,
      "\x0e\x0f"sv,
      "\r\n"sv,
      "\n"sv,
      "\n"sv,
      "\t"sv,
      "\x7f"sv};
  return std::string(one_of(kWords));
}

std::string piece_of_no_utf8() {
  static constexpr std::string_view kWords[] = {"\xc0\xaf"sv,
                                                "\x80"sv,
                                                "\xbf\xbf"sv,
                                                "\xed\xa0\x80"sv,
                                                "\xf4\x90\x80\x80"sv,
                                                "\xe2\x82"sv,
                                                "\xf0\x9f\x98"sv,
                                                "\xff\xfe"sv,
                                                "gr\xc3\xbc\xc3\x9f"sv,
                                                "\xe2\x80\xae"
                                                "txt"sv,
                                                "latin \xe9t\xe9"sv,
                                                "\xf0\x9f\x98\x80"sv,
                                                "\n"sv,
                                                " "sv,
                                                "word "sv};
  return std::string(one_of(kWords));
}

std::string piece_of_zeros() {
  return below(50) == 0 ? std::string("still here\n") : std::string(1 + below(8192), '\0');
}

using Maker = std::string (*)();

Maker maker_of(std::string_view kind) {
  if (kind == "lines-never") return piece_without_newline;
  if (kind == "progress") return piece_of_progress;
  if (kind == "terminal") return piece_for_terminals;
  if (kind == "not-utf8") return piece_of_no_utf8;
  if (kind == "zeros") return piece_of_zeros;
  program::die("no kind '" + std::string(kind) + "'");
}

}  // namespace

int main(int argc, char** argv) {
  Maker make = nullptr;
  std::uint64_t bytes = 0;
  double pause = 0;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() == "--bytes") {
      bytes = program::to_bytes(arguments.value());
    } else if (arguments.name() == "--seed") {
      chance.seed(static_cast<std::uint64_t>(program::to_number(arguments.value())));
    } else if (arguments.name() == "--pause") {
      pause = program::to_seconds(arguments.value());
    } else {
      make = maker_of(arguments.name());
    }
  }
  if (make == nullptr) program::die("needs a kind");
  std::string buffer;
  while (bytes > 0) {
    buffer += make();
    if (buffer.size() > bytes) buffer.resize(static_cast<std::size_t>(bytes));
    if (pause == 0 && buffer.size() < (64 << 10) && buffer.size() < bytes) continue;
    program::write_all(STDOUT_FILENO, buffer);
    bytes -= buffer.size();
    buffer.clear();
    if (pause > 0) program::sleep_seconds(pause);
  }
  return 0;
}
