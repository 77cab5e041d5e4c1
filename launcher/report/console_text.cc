#include "launcher/report/console_text.h"

#include <cstdint>
#include <cstring>

// A training process may write anything.  What reaches a terminal through Muster is printable text,
// tabs, newlines and colours: everything else is spelled out (^[, ^G, \x9b), so that no output can
// move the cursor, set a title, or answer as a keyboard would.
//
// Two levels.  Raw bytes are cut into lines with memchr; a carriage return that is not part of \r\n
// forgets what stood in the line before it, as a progress bar means it.  A finished raw line is
// then rendered: eight bytes at a time while it is plain ASCII, one character at a time where it is
// not. Because rendering sees whole lines, a colour or a UTF-8 character that was split over two
// chunks needs no state of its own.
namespace muster::report {
namespace {

constexpr std::string_view kColorReset = "\x1b[0m";
constexpr std::size_t kMaxColorSequence = 64;  // longer ones are not colours that people write

bool is_plain(unsigned char byte) {
  return byte >= 0x20 && byte < 0x7f;
}

// Length of the printable ASCII text that `text` begins with.
std::size_t plain_length(std::string_view text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101U;
  constexpr std::uint64_t kHighBits = kOnes * 0x80;
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    const std::uint64_t control = (word - kOnes * 0x20) & ~word;
    const std::uint64_t not_del = word ^ (kOnes * 0x7f);
    const std::uint64_t del = (not_del - kOnes) & ~not_del;
    if (((word | control | del) & kHighBits) != 0) break;
  }
  while (at < text.size() && is_plain(static_cast<unsigned char>(text[at]))) ++at;
  return at;
}

bool is_continuation(unsigned char byte) {
  return (byte & 0xc0) == 0x80;
}

// How long the UTF-8 character must be that begins with `lead`; 0 for a byte that begins none.
std::size_t character_length(unsigned char lead) {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

// Length of the printable non-ASCII character that `text` begins with; 0 when there is none, also
// for the C1 controls U+0080 to U+009F, overlong forms, surrogates, and U+202A to U+202E and U+2066
// to U+2069, which show what follows in another order than it stands.
std::size_t printable_character(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const std::size_t length = character_length(byte(0));
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t at = 1; at < length; ++at) {
    if (!is_continuation(byte(at))) return 0;
  }
  switch (byte(0)) {
    case 0xc2: return byte(1) >= 0xa0 ? length : 0;
    case 0xe0: return byte(1) >= 0xa0 ? length : 0;
    case 0xe2: {
      const bool turns = (byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae) ||
                         (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9);
      return turns ? 0 : length;
    }
    case 0xed: return byte(1) <= 0x9f ? length : 0;
    case 0xf0: return byte(1) >= 0x90 ? length : 0;
    case 0xf4: return byte(1) <= 0x8f ? length : 0;
    default: return length;
  }
}

bool is_color_parameter(char c) {
  return (c >= '0' && c <= '9') || c == ';' || c == ':';
}

struct ColorSequence {
  std::size_t length = 0;   // 0: not a colour sequence
  bool unfinished = false;  // the text ended inside of what may become one
  bool resets = false;
};

// Looks at the ESC that `text` begins with.
ColorSequence color_sequence(std::string_view text) {
  ColorSequence found{0, true, true};
  if (text.size() > 1 && text[1] != '[') found.unfinished = false;
  for (std::size_t at = 2; found.unfinished && at < text.size(); ++at) {
    if (text[at] == 'm') return {at + 1, false, found.resets};
    found.unfinished = is_color_parameter(text[at]) && at < kMaxColorSequence;
    if (text[at] >= '1' && text[at] <= '9') found.resets = false;
  }
  return found;
}

// Length of the "erase in line" that `text` begins with, else 0.  Progress bars send it with their
// carriage return; as a finished line replaces the one before anyway, it says nothing here.
std::size_t erase_in_line_length(std::string_view text) {
  if (text.starts_with("\x1b[K")) return 3;
  const bool numbered = text.size() >= 4 && text.starts_with("\x1b[") && text[2] >= '0' &&
                        text[2] <= '2' && text[3] == 'K';
  return numbered ? 4 : 0;
}

void append_hexadecimal(unsigned char byte, std::string& out) {
  constexpr const char* kDigits = "0123456789abcdef";
  out += "\\x";
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

// Appends `raw` in a form that is safe to show.  Returns whether it leaves a colour on.
bool render(std::string_view raw, bool color, std::string& out) {
  bool colored = false;
  while (true) {
    const std::size_t plain = plain_length(raw);
    out.append(raw.data(), plain);
    raw.remove_prefix(plain);
    if (raw.empty()) return colored;

    const auto byte = static_cast<unsigned char>(raw.front());
    std::size_t used = 1;
    if (byte == '\t') {
      out += '\t';
    } else if (const ColorSequence sequence = byte == 0x1b ? color_sequence(raw) : ColorSequence{};
               sequence.length > 0) {
      used = sequence.length;
      if (color) {
        out.append(raw.data(), used);
        colored = !sequence.resets;
      }
    } else if (const std::size_t erase = erase_in_line_length(raw); erase > 0) {
      used = erase;
    } else if (byte < 0x80) {
      out += '^';
      out += static_cast<char>(byte ^ 0x40);
    } else if (const std::size_t length = printable_character(raw); length > 0) {
      out.append(raw.data(), length);
      used = length;
    } else {
      append_hexadecimal(byte, out);
    }
    raw.remove_prefix(used);
  }
}

// How much of `raw` can be shown before more of it is known: all but a character or a colour
// sequence whose end has not arrived.
std::size_t complete_length(std::string_view raw) {
  const std::size_t tail = raw.size() - std::min(raw.size(), kMaxColorSequence);
  if (const std::size_t escape = raw.rfind('\x1b'); escape != raw.npos && escape >= tail) {
    if (color_sequence(raw.substr(escape)).unfinished) return escape;
  }
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, raw.size()); ++back) {
    const auto byte = static_cast<unsigned char>(raw[raw.size() - back]);
    if (is_continuation(byte)) continue;
    return character_length(byte) > back ? raw.size() - back : raw.size();
  }
  return raw.size();
}

}  // namespace

void ConsoleLines::add(std::string_view bytes, std::string& lines) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::string_view part = bytes.substr(0, newline);
    const bool ends = newline != bytes.npos;
    if (ends && pending_.empty() && part.size() <= kMaxLine && plain_length(part) == part.size()) {
      lines.append(options_.prefix).append(part).append(1, '\n');
      carriage_return_ = false;
    } else {
      keep(part, lines);
      if (ends) {
        emit(pending_, "\n", lines);
        pending_.clear();
        carriage_return_ = false;
      }
    }
    if (!ends) return;
    bytes.remove_prefix(newline + 1);
  }
}

void ConsoleLines::flush(std::string& lines) {
  if (!pending_.empty()) emit(pending_, "\n", lines);
  pending_.clear();
  carriage_return_ = false;
}

std::string ConsoleLines::live() const {
  if (pending_.empty()) return {};
  std::string text = options_.prefix;
  render(std::string_view(pending_).substr(0, complete_length(pending_)), false, text);
  return text;
}

// Takes a part of the line, without its newline.
void ConsoleLines::keep(std::string_view part, std::string& lines) {
  const std::size_t last = part.find_last_not_of('\r');
  if (last == part.npos) {
    carriage_return_ = carriage_return_ || !part.empty();
    return;
  }
  const bool returns = last + 1 < part.size();
  part = part.substr(0, last + 1);
  if (const void* found = ::memrchr(part.data(), '\r', part.size())) {
    pending_.clear();
    part.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(found) - part.data()) + 1);
  } else if (carriage_return_) {
    pending_.clear();
  }
  carriage_return_ = returns;

  while (pending_.size() + part.size() > kMaxLine) {
    const std::size_t room = kMaxLine - pending_.size();
    pending_.append(part.data(), room);
    part.remove_prefix(room);
    emit_piece(lines);
  }
  pending_.append(part);
}

void ConsoleLines::emit_piece(std::string& lines) {
  const std::size_t length = complete_length(pending_);
  emit(std::string_view(pending_).substr(0, length), " …\n", lines);
  pending_.erase(0, length);
}

void ConsoleLines::emit(std::string_view raw, std::string_view ending, std::string& lines) const {
  lines += options_.prefix;
  if (render(raw, options_.color, lines)) lines += kColorReset;
  lines += ending;
}

}  // namespace muster::report
