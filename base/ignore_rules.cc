// What gitignore(5) says, and where it is silent, what git does (held against `git check-ignore` by
// a test on random trees).
#include "base/ignore_rules.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace muster {
namespace {

constexpr std::string_view kSpecial = "*?[\\";

using Bytes = std::bitset<256>;

std::size_t index_of(char byte) {
  return static_cast<unsigned char>(byte);
}

// [:alpha:] and its kin, for ASCII.
std::optional<Bytes> named_class(std::string_view name) {
  struct Named {
    std::string_view name;
    int (*contains)(int);
  };
  constexpr std::array kNames{
      Named{"alnum", std::isalnum}, Named{"alpha", std::isalpha}, Named{"blank", std::isblank},
      Named{"cntrl", std::iscntrl}, Named{"digit", std::isdigit}, Named{"graph", std::isgraph},
      Named{"lower", std::islower}, Named{"print", std::isprint}, Named{"punct", std::ispunct},
      Named{"space", std::isspace}, Named{"upper", std::isupper}, Named{"xdigit", std::isxdigit}};
  const auto* found = std::find_if(kNames.begin(), kNames.end(),
                                   [&](const Named& each) { return each.name == name; });
  if (found == kNames.end()) return std::nullopt;
  Bytes bytes;
  for (int byte = 0; byte < 128; ++byte) {
    if (found->contains(byte) != 0) bytes.set(static_cast<std::size_t>(byte));
  }
  return bytes;
}

// The inside of [...], with `rest` behind the opening bracket; moves `rest` behind the closing one.
// Nullopt where it is not well formed.
std::optional<Bytes> read_class(std::string_view& rest) {
  Bytes bytes;
  const auto take = [&]() -> std::optional<char> {
    if (rest.empty()) return std::nullopt;
    const char byte = rest.front();
    rest.remove_prefix(1);
    return byte;
  };
  // A byte that stands for itself, be it after a backslash.
  const auto literal = [&](char byte) { return byte == '\\' ? take() : std::optional(byte); };

  const bool negated = rest.starts_with('!') || rest.starts_with('^');
  if (negated) rest.remove_prefix(1);
  char before = 0;  // what a range may begin with
  bool first = true;
  while (true) {
    auto byte = take();
    if (!byte) return std::nullopt;
    if (*byte == ']' && !first) break;
    first = false;
    if (*byte == '-' && before != 0 && !rest.empty() && rest.front() != ']') {
      const auto last = literal(*take());
      if (!last) return std::nullopt;
      for (std::size_t each = index_of(before); each <= index_of(*last); ++each) bytes.set(each);
      before = 0;
      continue;
    }
    if (*byte == '[' && rest.starts_with(':')) {
      const std::size_t end = rest.find(']', 1);
      if (end == std::string_view::npos) return std::nullopt;
      if (end >= 2 && rest[end - 1] == ':') {
        const auto named = named_class(rest.substr(1, end - 2));
        if (!named) return std::nullopt;
        bytes |= *named;
        rest.remove_prefix(end + 1);
        before = 0;
        continue;
      }
    }
    const auto itself = literal(*byte);
    if (!itself) return std::nullopt;
    bytes.set(index_of(*itself));
    before = *itself;
  }
  if (negated) bytes.flip();
  bytes.reset(index_of('/'));
  return bytes;
}

// Spaces at the end do not count, unless a backslash stands before them.
std::string_view without_final_spaces(std::string_view line) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == ' ') continue;
    if (line[i] == '\\') ++i;
    end = std::min(i + 1, line.size());
  }
  return line.substr(0, end);
}

}  // namespace

IgnorePattern::IgnorePattern(std::string_view glob) {
  whole_path_ = glob.find('/') != std::string_view::npos;
  if (glob.starts_with('/')) glob.remove_prefix(1);
  const std::size_t special = std::min(glob.find_first_of(kSpecial), glob.size());
  literal_ = glob.substr(0, special);

  const std::string_view all = glob.substr(special);
  std::string_view rest = all;
  while (!rest.empty()) {
    const char byte = rest.front();
    rest.remove_prefix(1);
    if (byte == '[') {
      add_class(rest);
    } else if (byte == '?') {
      tokens_.push_back({Kind::kOneOf, 0, ~Bytes()});
      tokens_.back().bytes.reset(index_of('/'));
    } else if (byte == '\\') {
      if (rest.empty()) {
        tokens_.push_back({Kind::kNever});
      } else {
        tokens_.push_back({Kind::kByte, rest.front()});
        rest.remove_prefix(1);
      }
    } else if (byte == '*') {
      const std::size_t begin = all.size() - rest.size() - 1;
      const std::size_t stars = std::min(rest.find_first_not_of('*'), rest.size());
      rest.remove_prefix(stars);
      // git looks for what stands before two asterisks from the first special character on.
      const bool alone = stars > 0 && (begin == 0 || all[begin - 1] == '/') &&
                         (rest.empty() || rest.front() == '/' || rest.starts_with("\\/"));
      if (alone && rest.starts_with('/')) {
        rest.remove_prefix(1);
        tokens_.push_back({Kind::kDirectories});
      } else {
        tokens_.push_back({alone ? Kind::kAnything : Kind::kName});
      }
    } else {
      tokens_.push_back({Kind::kByte, byte});
    }
  }
}

void IgnorePattern::add_class(std::string_view& rest) {
  if (const auto bytes = read_class(rest)) {
    tokens_.push_back({Kind::kOneOf, 0, *bytes});
  } else {
    tokens_.push_back({Kind::kNever});
    rest = {};
  }
}

bool IgnorePattern::matches(std::string_view path) const {
  if (!whole_path_) path.remove_prefix(path.rfind('/') + 1);  // npos + 1 is 0
  if (!path.starts_with(literal_)) return false;
  path.remove_prefix(literal_.size());
  return tokens_.empty() ? path.empty() : tokens_match(path);
}

// Where in the text each token may begin: no pattern takes longer than its length times the text's.
bool IgnorePattern::tokens_match(std::string_view text) const {
  const std::size_t size = text.size();
  std::vector<bool> at(size + 1, false);
  at[0] = true;
  for (const Token& token : tokens_) {
    std::vector<bool> next(size + 1, false);
    bool open = false;  // a wildcard that began before is still going on
    bool any = false;
    for (std::size_t i = 0; i <= size; ++i) {
      switch (token.kind) {
        case Kind::kByte:
        case Kind::kOneOf: {
          if (!at[i] || i == size) break;
          const bool fits = token.kind == Kind::kByte ? text[i] == token.byte
                                                      : token.bytes.test(index_of(text[i]));
          if (fits) next[i + 1] = any = true;
          break;
        }
        case Kind::kName:
          if (i > 0 && text[i - 1] == '/') open = false;
          open = open || at[i];
          if (open) next[i] = any = true;
          break;
        case Kind::kAnything:
          open = open || at[i];
          if (open) next[i] = any = true;
          break;
        case Kind::kDirectories:
          if (at[i] || (open && text[i - 1] == '/')) next[i] = any = true;
          open = open || at[i];
          break;
        case Kind::kNever: return false;
      }
    }
    if (!any) return false;
    at = std::move(next);
  }
  return at[size];
}

void IgnoreRules::add_file(std::string_view directory, std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const std::string base = directory.empty() ? "" : std::string(directory) + "/";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with('#')) continue;
    line = without_final_spaces(line);
    const bool negative = line.starts_with('!');
    if (negative) line.remove_prefix(1);
    const bool only_directories = line.ends_with('/');
    if (only_directories) line.remove_suffix(1);
    if (line.empty()) continue;
    rules_.push_back({base, IgnorePattern(line), negative, only_directories});
  }
}

bool IgnoreRules::ignores(std::string_view path, bool is_directory) const {
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    if (rule->only_directories && !is_directory) continue;
    if (!path.starts_with(rule->directory)) continue;
    if (rule->pattern.matches(path.substr(rule->directory.size()))) return !rule->negative;
  }
  return false;
}

}  // namespace muster
