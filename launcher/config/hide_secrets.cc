// Finds keys and values without a parser: what is hidden in a message is a line that no parser
// could read.

#include "launcher/config/hide_secrets.h"

#include <algorithm>
#include <array>

namespace muster::config {
namespace {

constexpr std::string_view kHidden = "\"****\"";
constexpr std::size_t kNone = std::string_view::npos;

// Without underscores, dashes and capitals; the end of a key.
constexpr std::array<std::string_view, 11> kSecretEnds = {
    "password",  "passwd", "secret",           "token",       "accountkey", "accesskey",
    "secretkey", "apikey", "connectionstring", "credentials", "secretvalue"};

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

bool is_space(char c) {
  return is_blank(c) || c == '\n';
}

// What exports write for a password that is not set.
bool is_nothing(std::string_view value) {
  return value.empty() || value == "null" || value == "~" || value == "None" || value == "\"\"" ||
         value == "''" || value == "{}" || value == "[]";
}

class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text) {}

  std::vector<SecretValue> all() {
    while (at_ < text_.size()) step();
    return std::move(found_);
  }

 private:
  char peek(std::size_t at) const { return at < text_.size() ? text_[at] : '\n'; }

  void step() {
    const char c = text_[at_];
    if (c == '\n') {
      ++at_;
      token_ = kNone;
    } else if (is_blank(c)) {
      ++at_;
    } else if (c == '#' && (at_ == 0 || is_space(text_[at_ - 1]))) {
      at_ = line_end(at_);
    } else if (token_ == kNone && is_mark(c)) {
      ++at_;
    } else if (token_ == kNone && (c == '"' || c == '\'')) {
      token_ = at_;
      // One that is not closed on its line is most likely a mistake.
      token_end_ = at_ = std::min(end_of_quoted(at_), line_end(at_));
      quoted_ = true;
    } else if (depth_ > 0 && is_flow(c)) {
      nest(c);
    } else if (c == ':' && token_ != kNone && is_colon_of_key()) {
      take_value();
    } else {
      if (token_ == kNone) {
        token_ = at_;
        quoted_ = false;
      }
      token_end_ = ++at_;
    }
  }

  // "{", "[", and the dash of a list's item.
  bool is_mark(char c) {
    if (c == '{' || c == '[') {
      ++depth_;
      return true;
    }
    return depth_ == 0 && c == '-' && is_space(peek(at_ + 1));
  }

  static bool is_flow(char c) { return c == ',' || c == '{' || c == '}' || c == '[' || c == ']'; }

  void nest(char c) {
    if (c == '{' || c == '[') ++depth_;
    if (c == '}' || c == ']') --depth_;
    token_ = kNone;
    ++at_;
  }

  bool is_colon_of_key() const {
    const char next = peek(at_ + 1);
    return is_space(next) || quoted_ || (depth_ > 0 && is_flow(next));
  }

  void take_value() {
    const bool secret = names_a_secret_key(text_.substr(token_, token_end_ - token_));
    const std::size_t column = column_of(token_);
    token_ = kNone;
    ++at_;
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    const char c = peek(at_);
    if (depth_ == 0 && (c == '|' || c == '>')) {  // text, whatever it looks like
      const std::size_t begin = at_;
      at_ = deeper_lines(line_end(at_), column, false);
      if (secret) add(begin, at_);
      return;
    }
    if (!secret) return;
    if (depth_ > 0) {
      while (at_ < text_.size() && is_space(text_[at_])) ++at_;
    }
    const std::size_t begin = at_;
    at_ = value_end(column);
    add(begin, at_);
  }

  std::size_t value_end(std::size_t column) const {
    const char c = peek(at_);
    if (c == '"' || c == '\'') return end_of_quoted(at_);
    if (c == '{' || c == '[') return end_of_flow(at_);
    if (depth_ == 0) return deeper_lines(line_end(at_), column, c == '\n' || c == '#');
    return std::min(text_.find_first_of(",}]", at_), text_.size());
  }

  void add(std::size_t begin, std::size_t end) {
    while (end > begin && is_space(text_[end - 1])) --end;
    if (!is_nothing(text_.substr(begin, end - begin))) found_.push_back({begin, end});
  }

  std::size_t line_end(std::size_t at) const {
    return std::min(text_.find('\n', at), text_.size());
  }

  std::size_t column_of(std::size_t at) const {
    const std::size_t before = at == 0 ? kNone : text_.rfind('\n', at - 1);
    return before == kNone ? at : at - before - 1;
  }

  // The end of the lines after `at`, a line's end, that are indented more than `column`; items of
  // a list may stand below their key.
  std::size_t deeper_lines(std::size_t at, std::size_t column, bool items) const {
    std::size_t end = at;
    while (at < text_.size()) {
      const std::size_t begin = at + 1;
      const std::size_t next = line_end(begin);
      const std::size_t first = std::min(text_.find_first_not_of(" \t\r", begin), next);
      const std::size_t indent = first - begin;
      const bool item = items && peek(first) == '-' && is_space(peek(first + 1));
      if (first < next) {
        if (indent < column || (indent == column && !item)) break;
        end = next;
      }
      at = begin > text_.size() ? text_.size() : next;
    }
    return end;
  }

  std::size_t end_of_quoted(std::size_t at) const {
    const char quote = text_[at];
    for (++at; at < text_.size(); ++at) {
      if (text_[at] == '\\' && quote == '"') {
        ++at;
      } else if (text_[at] == quote) {
        if (quote == '"' || peek(at + 1) != '\'') return at + 1;
        ++at;
      }
    }
    return text_.size();
  }

  std::size_t end_of_flow(std::size_t at) const {
    int depth = 0;
    while (at < text_.size()) {
      const char c = text_[at];
      if (c == '"' || c == '\'') {
        at = end_of_quoted(at);
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) return at + 1;
      ++at;
    }
    return text_.size();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;              // of { and [
  std::size_t token_ = kNone;  // where what may be a key begins
  std::size_t token_end_ = 0;
  bool quoted_ = false;
  std::vector<SecretValue> found_;
};

}  // namespace

bool names_a_secret_key(std::string_view key) {
  std::string plain;
  for (const char c : key) {
    if (c >= 'A' && c <= 'Z') plain += static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) plain += c;
  }
  return std::any_of(kSecretEnds.begin(), kSecretEnds.end(),
                     [&](std::string_view end) { return plain.ends_with(end); });
}

std::vector<SecretValue> secret_values(std::string_view text) {
  return Scan(text).all();
}

std::string without_secret_values(std::string_view text) {
  std::string shown;
  std::size_t done = 0;
  for (const SecretValue& secret : secret_values(text)) {
    shown += text.substr(done, secret.begin - done);
    const bool apart = secret.begin == 0 || text[secret.begin - 1] != ':';
    if (!apart) shown += ' ';
    shown += kHidden;
    done = secret.end;
  }
  return shown + std::string(text.substr(done));
}

bool may_show_secret(std::string_view line) {
  for (std::size_t colon = line.find(':'); colon != kNone; colon = line.find(':', colon + 1)) {
    const std::size_t last = line.find_last_not_of(" \t\"'", colon == 0 ? 0 : colon - 1);
    if (last == kNone || last >= colon) continue;
    const std::size_t before = line.find_last_of(" \t\"'{[,:", last);
    const std::size_t begin = before == kNone ? 0 : before + 1;
    if (!names_a_secret_key(line.substr(begin, last + 1 - begin))) continue;
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    if (!is_nothing(value.substr(0, value.find_first_of(",}] \t")))) return true;
  }
  return false;
}

}  // namespace muster::config
