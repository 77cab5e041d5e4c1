// The rules of .gitignore files, as git applies them to a tree.  Pure.
#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

namespace muster {

// One pattern of such a file, made ready for matching.
class IgnorePattern {
 public:
  // `glob` without "!" and a final "/".  Without a slash it is about the last name of a path, else
  // about the path from the directory of its file on.
  explicit IgnorePattern(std::string_view glob);

  bool matches(std::string_view path) const;

 private:
  enum class Kind {
    kByte,
    kOneOf,        // ? or [...], never a slash
    kName,         // *: any bytes but a slash
    kAnything,     // ** before the end
    kDirectories,  // **/ : nothing, or any bytes that end in a slash
    kNever,        // what is not well formed matches nothing
  };
  struct Token {
    Kind kind;
    char byte = 0;
    std::bitset<256> bytes = {};
  };

  void add_class(std::string_view& rest);
  bool tokens_match(std::string_view text) const;

  bool whole_path_ = false;
  std::string literal_;        // what comes before the first special character
  std::vector<Token> tokens_;  // and from there on
};

class IgnoreRules {
 public:
  // The file of a directory ("" for the root, else "a/b"); files of deeper directories come later.
  void add_file(std::string_view directory, std::string_view text);

  // Whether the rules leave `path` ("a/b/c") out, given that they do not leave out the directory
  // that it is in: what is below a directory that is left out cannot be taken back in.
  bool ignores(std::string_view path, bool is_directory) const;

 private:
  struct Rule {
    std::string directory;  // "" or "a/b/"
    IgnorePattern pattern;
    bool negative = false;  // begins with !
    bool only_directories = false;
  };

  std::vector<Rule> rules_;  // the last one that matches decides
};

}  // namespace muster
