// Compares a stored stream with what tests/programs/flood writes, outside of its gaps.
//
//   payload_check FILE --rank R [--no-newline-for N] [--length N] [--gap FROM-TO]...
//
// Says "ok BYTES" (compared ones), or what differs first, and ends with 1.  A range of a gap must
// be a hole or anything else: it is not looked at.  With --length the file must have that size.
#include "program.h"

#include <algorithm>
#include <vector>

#include "flood_bytes.h"

namespace {

struct Gap {
  std::uint64_t from;
  std::uint64_t to;
};

Gap parse_gap(const std::string& text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string::npos) program::die("'" + text + "' is no FROM-TO");
  return {program::to_bytes(std::string_view(text).substr(0, dash)),
          program::to_bytes(std::string_view(text).substr(dash + 1))};
}

}  // namespace

int main(int argc, char** argv) {
  std::string path;
  flood::Payload payload;
  std::int64_t length = -1;
  std::vector<Gap> gaps;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() == "--rank") {
      payload.rank = program::to_bytes(arguments.value());
    } else if (arguments.name() == "--no-newline-for") {
      payload.no_newline_for = program::to_bytes(arguments.value());
    } else if (arguments.name() == "--length") {
      length = static_cast<std::int64_t>(program::to_bytes(arguments.value()));
    } else if (arguments.name() == "--gap") {
      gaps.push_back(parse_gap(arguments.value()));
    } else {
      path = arguments.name();
    }
  }
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) program::die_errno(path);

  std::vector<char> stored(1 << 20);
  std::vector<char> expected(stored.size());
  std::uint64_t offset = 0;
  std::uint64_t compared = 0;
  while (const std::size_t size = std::fread(stored.data(), 1, stored.size(), file)) {
    payload.fill(expected, offset);
    for (const Gap& gap : gaps) {  // as if it were right
      const std::uint64_t from = std::clamp(gap.from, offset, offset + size) - offset;
      const std::uint64_t to = std::clamp(gap.to, offset, offset + size) - offset;
      if (from >= to) continue;
      std::memcpy(&expected[from], &stored[from], to - from);
      compared -= to - from;
    }
    const auto end = stored.begin() + static_cast<std::ptrdiff_t>(size);
    const auto [differs, other] = std::mismatch(stored.begin(), end, expected.begin());
    if (differs != end) {
      std::printf("differs at offset %llu\n",
                  static_cast<unsigned long long>(offset) +
                      static_cast<unsigned long long>(differs - stored.begin()));
      return 1;
    }
    offset += size;
    compared += size;
  }
  std::fclose(file);
  if (length >= 0 && offset != static_cast<std::uint64_t>(length)) {
    std::printf("has %llu bytes, not %lld\n", static_cast<unsigned long long>(offset),
                static_cast<long long>(length));
    return 1;
  }
  std::printf("ok %llu\n", static_cast<unsigned long long>(compared));
  return 0;
}
