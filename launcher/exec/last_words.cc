#include "launcher/exec/last_words.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/text.h"

namespace muster::exec {
namespace {

constexpr std::size_t kLastLines = 10;  // of a failure that names its reason
constexpr std::size_t kLinesAfter = 5;  // that may follow an exception: warnings of exit handlers
constexpr std::size_t kLongestQuote = 300;

std::vector<std::string> lines_of(std::string_view words) {
  std::vector<std::string> lines;
  for (std::string& line : split(words, '\n')) {
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

bool is_indented(const std::string& line) {
  return line.starts_with(' ') || line.starts_with('\t');
}

// "torch.cuda.OutOfMemoryError: CUDA out of memory", "KeyboardInterrupt"
bool names_an_exception(const std::string& line) {
  const std::string name = line.substr(0, line.find(':'));
  const auto belongs = [](unsigned char letter) {
    return std::isalnum(letter) != 0 || letter == '_' || letter == '.';
  };
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::all_of(name.begin(), name.end(), belongs);
}

// Where the exception stands that ends the last traceback; lines.size() when there is none.
std::size_t exception_at(const std::vector<std::string>& lines) {
  std::size_t at = lines.size();
  while (at > 0 && lines[at - 1] != "Traceback (most recent call last):") --at;
  if (at == 0) {
    // A syntax error has no traceback: '  File "train.py", line 3', the line, and its name.
    const bool is_syntax_error =
        lines.size() >= 2 && lines.back().find("Error: ") != std::string::npos &&
        names_an_exception(lines.back()) && is_indented(lines[lines.size() - 2]);
    return is_syntax_error ? lines.size() - 1 : lines.size();
  }
  while (at < lines.size() && is_indented(lines[at])) ++at;
  return at;
}

std::string quoted(std::string line) {
  if (line.size() <= kLongestQuote) return line;
  std::size_t end = kLongestQuote;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0U) == 0x80U) --end;  // UTF-8
  return line.substr(0, end) + "…";
}

// What stands before `end`, back to a blank or a colon: the file's name in "error while loading
// shared libraries: libx.so.1: cannot open shared object file".
std::string word_before(const std::string& line, std::size_t end) {
  const std::size_t begin = end == 0 ? line.npos : line.find_last_of(" \t'\"", end - 1);
  return line.substr(begin == line.npos ? 0 : begin + 1,
                     end - (begin == line.npos ? 0 : begin + 1));
}

plan::Evidence library_evidence(const std::string& text) {
  return {"missing_library", text,
          "install it in the environment that the ranks use, or name its directory in "
          "LD_LIBRARY_PATH; ldd PROGRAM lists what is missing"};
}

}  // namespace

std::optional<std::string> python_exception(std::string_view words) {
  const std::vector<std::string> lines = lines_of(words);
  const std::size_t at = exception_at(lines);
  if (at >= lines.size() || lines.size() - at > kLinesAfter + 1) return std::nullopt;
  if (!names_an_exception(lines[at])) return std::nullopt;
  return quoted(lines[at]);
}

std::optional<plan::Evidence> missing_library(std::string_view words, const ExitStatus& status) {
  constexpr std::string_view kCannotOpen = ": cannot open shared object file: ";
  const std::vector<std::string> lines = lines_of(words);
  if (lines.empty() || status.ok()) return std::nullopt;
  const std::size_t exception = exception_at(lines);
  const std::string& line = exception < lines.size() ? lines[exception] : lines.back();

  // Frameworks warn of libraries that they do without: only the line that ended the program counts.
  const bool by_loader = line.find("error while loading shared libraries: ") != line.npos;
  const std::size_t at = line.find(kCannotOpen);
  if (at != line.npos && (by_loader || exception < lines.size())) {
    return library_evidence("the shared library " + word_before(line, at) +
                            " could not be loaded: " + line.substr(at + kCannotOpen.size()));
  }
  const std::size_t version = line.find(": version `");
  const std::size_t required = line.find("' not found (required by ");
  if (version == line.npos || required == line.npos || required < version) return std::nullopt;
  return plan::Evidence{
      "missing_library",
      "the shared library " + word_before(line, version) + " is too old: it has no " +
          line.substr(version + 11, required - version - 11),
      "the program was built on a newer system: build it here, or run it in its own container"};
}

std::optional<plan::Evidence> lack_of_room(std::string_view words) {
  const std::vector<std::string> lines = lines_of(words);
  const std::size_t first = lines.size() - std::min(lines.size(), kLastLines);
  for (std::size_t at = lines.size(); at > first; --at) {
    const std::string& line = lines[at - 1];
    // The kernel says the same of too many inotify watches.
    if (line.find("inotify") != line.npos) continue;
    const bool full = line.find("No space left on device") != line.npos;
    if (!full && line.find("Disk quota exceeded") == line.npos) continue;
    return plan::Evidence{"no_space",
                          std::string("a write failed because a ") + (full ? "disk" : "quota") +
                              " was full: " + quoted(line),
                          "make room there, or write elsewhere (TMPDIR names the place of "
                          "temporary files)"};
  }
  return std::nullopt;
}

}  // namespace muster::exec
