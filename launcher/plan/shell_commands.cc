#include "launcher/plan/shell_commands.h"

#include <algorithm>
#include <array>

namespace muster::plan {
namespace {

using Words = std::vector<std::string>;

constexpr std::array kKeywords = {"!",  "{",  "}",    "if", "then",  "elif",
                                  "do", "fi", "else", "in", "while", "until"};

bool is_keyword(const std::string& word) {
  return std::find(kKeywords.begin(), kKeywords.end(), word) != kKeywords.end();
}

// "LR=0.1", but no "./a=b".
bool is_assignment(const std::string& word) {
  const auto equals = word.find('=');
  return equals != std::string::npos && equals != 0 && word.front() != '-' &&
         word.find('/') > equals;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<Words> read() {
    while (at_ < text_.size()) read_next();
    end_command();
    return std::move(commands_);
  }

 private:
  char next() const { return at_ + 1 < text_.size() ? text_[at_ + 1] : '\0'; }

  void read_next() {
    const char c = text_[at_];
    if (c == '\\') return read_escape();
    if (c == '\'' || c == '"') return read_quoted(c);
    if (c == '$' && next() == '(') return read_substitution();
    if (c == '#' && !in_word_) return skip_comment();
    ++at_;
    switch (c) {
      case ' ':
      case '\t':
      case '\r': return end_word();
      case '<':
      case '>': return read_redirection(c);
      case '&':
        if (at_ < text_.size() && text_[at_] == '>') return;  // "&> file"
        [[fallthrough]];
      case '\n':
      case ';':
      case '|':
      case '(':
      case ')': return end_command();
      default: add(c);
    }
  }

  void add(char c) {
    word_ += c;
    in_word_ = true;
  }

  void read_escape() {
    const char escaped = next();
    at_ += 2;
    if (escaped != '\n' && escaped != '\0') add(escaped);
  }

  void read_quoted(char quote) {
    in_word_ = true;  // "" is a word, too
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      const bool escapes = quote == '"' && text_[at_] == '\\' && next() != '\0';
      if (escapes) ++at_;
      word_ += text_[at_];
    }
    ++at_;
  }

  // "$(nproc)" and "$((1 + 1))" are a part of the word around them.
  void read_substitution() {
    int depth = 0;
    do {
      const char c = text_[at_++];
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
      add(c);
    } while (at_ < text_.size() && (depth > 0 || word_.back() == '$'));
  }

  void skip_comment() { at_ = std::min(text_.find('\n', at_), text_.size()); }

  // ">", "2>&1", ">> log": the number before it and the file after it are no words of the command.
  void read_redirection(char sign) {
    const bool numbered = word_.find_first_not_of("0123456789") == std::string::npos;
    if (numbered) drop_word();
    end_word();
    while (at_ < text_.size() && (text_[at_] == sign || text_[at_] == '&' || text_[at_] == '-')) {
      ++at_;
    }
    is_file_ = true;
  }

  void drop_word() {
    word_.clear();
    in_word_ = false;
  }

  void end_word() {
    if (!in_word_) return;
    const bool begins = command_.empty() && (is_keyword(word_) || is_assignment(word_));
    if (!is_file_ && !begins) command_.push_back(word_);
    is_file_ = false;
    drop_word();
  }

  void end_command() {
    end_word();
    is_file_ = false;
    if (!command_.empty()) commands_.push_back(std::move(command_));
    command_.clear();
  }

  const std::string_view text_;
  std::size_t at_ = 0;
  std::string word_;
  bool in_word_ = false;
  bool is_file_ = false;  // the next word is what a redirection names
  Words command_;
  std::vector<Words> commands_;
};

}  // namespace

std::vector<Words> simple_commands(std::string_view text) {
  return Scanner(text).read();
}

}  // namespace muster::plan
