// What every translator of a dialect works with: the values of the user's file and where they
// stand, and the native config that is made of them.
//
// A translator takes what it knows by Fields::take(), says set() or append() for what the native
// form has, elsewhere() or warn() for what is not done here, refuse() for what cannot be read. What
// nobody took is listed as ignored.  Pure: a file beside the config is read by the function that
// the caller gave.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/config/document.h"
#include "launcher/config/problems.h"
#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::config {

// The text of a file whose path counts from the directory of the config.
using ReadBeside = std::function<Result<std::string>(const std::string& path)>;

// A value of the user's file and the way to it.
struct Given {
  NodePtr node;
  std::string path;  // "mpi.processCountPerNode", as the file spells it; "" for the whole file
  std::string key;   // its last word
  Place key_place{1, 1};
  Place value_place{1, 1};
  std::shared_ptr<const SourceText> source = {};  // null: the config itself

  Node::Kind kind() const { return node->kind; }
  const std::string& text() const { return node->text; }  // "" when it is no scalar
  bool is_null() const { return node->kind == Node::Kind::kNull; }
  bool is_scalar() const { return node->kind == Node::Kind::kScalar; }
  bool is_list() const { return node->kind == Node::Kind::kList; }
  bool is_mapping() const { return node->kind == Node::Kind::kMapping; }
  // Of a list: with the place of the list, and "arguments[2]" as its path.
  std::vector<Given> items() const;
  // Of a mapping whose keys are the user's own: names of variables, of inputs.
  std::vector<Given> entries() const;
};

// "limits.drain_timeout", or words of which one is the user's: NativeKey("inputs") / name / "path".
struct NativeKey {
  NativeKey(const char* dotted);  // NOLINT(google-explicit-constructor)
  explicit NativeKey(const std::string& dotted) : NativeKey(dotted.c_str()) {}
  NativeKey operator/(std::string word) const;
  std::vector<std::string> words;
};

class Translation {
 public:
  // `source` is the config; both must outlive the translation.
  Translation(const SourceText& source, std::string config_directory, ReadBeside read_beside);
  ~Translation();
  Translation(const Translation&) = delete;
  Translation& operator=(const Translation&) = delete;

  Given whole(NodePtr root) const;
  const std::string& config_directory() const { return config_directory_; }
  // Where relative paths of the native config count from, when not from the config's directory.
  void count_paths_from(std::string directory) { paths_from_ = std::move(directory); }
  const std::string& paths_from() const;

  // --- the native config ---
  // The value as it stands; a later one for the same key replaces an earlier one.
  void set(const NativeKey& key, const Given& from);
  // Another text for it: a note says how it came about, and follows its origin in parentheses.
  void set(const NativeKey& key, const Given& from, std::string text, std::string note = {});
  void set_node(const NativeKey& key, const Given& from, Node node);
  // What no line of the file says; `why` is its origin.
  void derive(const NativeKey& key, std::string text, std::string why);
  // An entry that others go below, "inputs.NAME", begins where the user wrote its name.
  void begin(const NativeKey& key, const Given& from);
  // One more item of a list.
  void append(const NativeKey& key, const Given& from, std::string text);
  bool has(const NativeKey& key) const;

  // --- what is to be said ---
  void ignored(const Given& at);  // an unknown key
  void elsewhere(const Given& at, std::string text);
  void warn(const Given& at, std::string text);
  // What would be run was refused, so that nobody need ask for it.
  void says_what_to_run() { says_what_to_run_ = true; }
  bool has_said_what_to_run() const { return says_what_to_run_; }
  // "<path>: <why>", at the value.
  void refuse(const Given& at, std::string_view why, std::string hint = {});
  // The same at the word before the colon.
  void refuse_key(const Given& at, std::string_view why, std::string hint = {});
  Origin origin_of(const Given& at) const;

  // --- values ---
  // The scalar's text; nullopt for nothing.  A list or mapping is refused.
  std::optional<std::string> text_of(const Given& value);
  // A whole number, `least` or more; anything else is refused.
  std::optional<int> count_of(const Given& value, int least);
  // true, false (in any case, also yes, no, 1, 0).
  std::optional<bool> flag_of(const Given& value);

  // The text of a file that the config names, and that text as a mapping, whose values know that
  // they stand there.  What is wrong with either is a problem at `named`.
  Result<std::string> read_beside(const std::string& path) const;
  std::optional<Given> mapping_beside(const Given& named, const std::string& path);

  NodePtr native() const;  // the tree that the key table reads
  Problems take_problems() { return std::move(problems_); }
  std::vector<Remark> take_remarks();  // in file order

 private:
  struct Branch;
  Branch& branch(const NativeKey& key);
  const std::string& name_of(const Given& at) const;
  void put(const NativeKey& key, const Given& from, NodePtr node);
  void place(const NativeKey& key, const Given& from, bool replace);

  const SourceText& source_;
  std::string config_directory_;
  std::string paths_from_;
  ReadBeside read_beside_;
  std::unique_ptr<Branch> root_;
  Problems problems_;
  bool says_what_to_run_ = false;
  std::vector<std::pair<Place, Remark>> remarks_;
};

// The keys of one mapping, each found in any of its spellings.
class Fields {
 public:
  // A key that is there twice, in two spellings, is refused.
  Fields(Translation& to, const Given& mapping);

  // The value of a key, which then counts as read; nullopt when it is not there.
  std::optional<Given> take(std::string_view name);
  // The same without an empty value: nullopt for null.
  std::optional<Given> take_value(std::string_view name);
  // The mapping below a key; nullopt when there is none.  Another kind of value is refused.
  std::optional<Fields> take_group(std::string_view name);
  bool has(std::string_view name) const;

  // Keys that mean nothing to a launcher: neither used nor listed.
  void pass(std::initializer_list<std::string_view> names);
  // Lists the keys that nobody took as ignored.
  void finish();

  const Given& given() const { return mapping_; }

 private:
  struct Field {
    Given given;
    bool taken = false;
  };
  Field* find(std::string_view name);

  Translation* to_;
  Given mapping_;
  std::vector<Field> fields_;
  std::map<std::string, std::size_t> by_name_;  // spelling_free
};

}  // namespace muster::config
