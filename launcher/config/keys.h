// The table of all keys of a run config: the one place that says what a key is called, how its
// value is read and how it is shown.  Reading, "did you mean", `muster validate` and the test of
// docs/config.md all go through it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "launcher/config/document.h"
#include "launcher/config/problems.h"
#include "launcher/config/run_config.h"

namespace muster::config {

struct Key;

// A value on its way into the config, from the file or from a flag.
struct Value {
  const Key* key = nullptr;
  std::string path;  // "script_params.--lr" for an entry of the key "script_params"
  const Node* node = nullptr;
  Origin origin;                // of the value
  Origin key_origin;            // of the word before the colon; the same as `origin` for a flag
  std::string written_as = {};  // how a file of another dialect calls it; "" when as the path says

  const std::string& shown_path() const { return written_as.empty() ? path : written_as; }
};

struct FlagValue {
  Node node;
  Origin origin;
  bool used = false;
};

// A text with ${{…}} in it.
struct TextWithReferences {
  std::string path;  // of its key, as messages show it
  std::string text;
  Origin origin;
};

// The config while it is being read.
struct Draft {
  RunConfig config = {};
  Problems problems = {};
  const SourceText* source = nullptr;           // null in the form without a file
  std::map<std::string, FlagValue> flags = {};  // by key path; they replace what the file says
  // entry_script, command or the program, in the order of their appearance.
  std::vector<std::pair<std::string, Origin>> what_to_run = {};
  bool backend_given = false;                       // also when its value was refused
  std::vector<TextWithReferences> references = {};  // checked when all inputs and outputs are known
  bool what_to_run_refused = false;                 // by the translator of a dialect

  void refuse(const Value& value, std::string_view why, std::string hint = {});
};

// One line of `muster validate`.
using Shown = std::variant<std::monostate, std::string, std::int64_t, std::vector<std::string>>;
struct Row {
  std::string key;
  Shown value;
  Origin origin;
};

struct Key {
  std::string_view path;
  std::string_view expected;  // the hint when a value does not fit
  void (*read)(const Value& value, Draft& draft);
  // Null, or how one entry of it is read that a person names: environment.variables.FOO.
  void (*read_entry)(const Value& value, Draft& draft);
  // Null for keys that this version only refuses.
  void (*show)(const Key& key, const RunConfig& config, std::vector<Row>& rows);
};

std::span<const Key> keys();

// The key with exactly this path; null when there is none.
const Key* find_key(std::string_view path);

// The words allowed below a group ("limits"), or on the top level (""); empty: not a group.
std::vector<std::string> keys_below(std::string_view group);

// The value of one entry of a mapping, or what a flag says instead.
Value value_of(const Entry& entry, const Key* key, const std::string& path, Draft& draft);

}  // namespace muster::config
