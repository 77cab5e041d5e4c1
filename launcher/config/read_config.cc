// Reads a run config: document → native form → keys → flags → what must hold between keys.
//
// Nothing stops at the first problem but a text that is no YAML mapping.  A flag takes the place of
// the file's value before that is looked at, so `--set node_count=1` rescues a file that asks for
// more, and its entries keep their place in script_params.

#include "launcher/config/read_config.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "launcher/config/cross_checks.h"
#include "launcher/config/dialects/translators.h"
#include "launcher/config/document.h"
#include "launcher/config/keys.h"

namespace muster::config {
namespace {

std::string joined_path(std::string_view group, const std::string& word) {
  return group.empty() ? word : std::string(group) + "." + word;
}

// "limits" for "limits.drain_timeout", "" for "node_count".
std::string group_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? "" : std::string(path.substr(0, dot));
}

const Key* key_with_last_word(std::string_view word) {
  const auto all = keys();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Key& key) {
    return key.path.substr(key.path.rfind('.') + 1) == word;
  });
  return found == all.end() ? nullptr : &*found;
}

std::string unknown_key_hint(const std::string& group, const std::string& word) {
  const std::vector<std::string> known = keys_below(group);
  if (std::string near = did_you_mean_hint(word, known); !near.empty()) return near;
  const Key* elsewhere = find_key(word) != nullptr ? find_key(word) : key_with_last_word(word);
  if (elsewhere == nullptr) return "known keys here: " + join(known, ", ");
  const std::string home = group_of(elsewhere->path);
  const std::string last(elsewhere->path.substr(elsewhere->path.rfind('.') + 1));
  if (home.empty()) return "\"" + last + "\" belongs on the top level";
  return "\"" + last + "\" belongs below \"" + home + "\"";
}

void read_group(const Entry& group, const std::string& path, Draft& draft);

void refuse_key(const Entry& entry, const std::string& group, Draft& draft) {
  const std::string where = group.empty() ? "" : " in " + group;
  draft.problems.push_back({ErrorCode::kConfig, "unknown key " + in_quotes(entry.key) + where,
                            unknown_key_hint(group, entry.key),
                            draft.source->location(entry.key_place)});
}

void read_mapping(const Node& node, const std::string& group, Draft& draft) {
  for (const Entry& entry : node.entries) {
    const std::string path = joined_path(group, entry.key);
    const bool one_word = !entry.key.empty() && entry.key.find('.') == std::string::npos;
    if (const Key* key = one_word ? find_key(path) : nullptr) {
      key->read(value_of(entry, key, path, draft), draft);
    } else if (one_word && !keys_below(path).empty()) {
      read_group(entry, path, draft);
    } else {
      refuse_key(entry, group, draft);
    }
  }
}

void read_group(const Entry& group, const std::string& path, Draft& draft) {
  const Node::Kind kind = group.value->kind;
  if (kind == Node::Kind::kNull) return;
  if (kind == Node::Kind::kMapping) {
    read_mapping(*group.value, path, draft);
    return;
  }
  draft.problems.push_back(problem_at(draft.source->origin(group.value_place), path,
                                      "it is a group of keys",
                                      "known keys here: " + join(keys_below(path), ", ")));
}

// The key that a flag's path leads to: itself, or the key whose entry it names.
const Key* key_of_flag(std::string_view path) {
  if (const Key* key = find_key(path)) return key;
  const auto all = keys();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Key& key) {
    return key.read_entry != nullptr && path.size() > key.path.size() + 1 &&
           path.starts_with(key.path) && path[key.path.size()] == '.';
  });
  return found == all.end() ? nullptr : &*found;
}

Error unknown_flag_path(const Override& flag) {
  if (std::vector<std::string> known = keys_below(flag.key_path); !known.empty()) {
    for (std::string& word : known) word = joined_path(flag.key_path, word);
    return problem_at(flag.origin, flag.key_path, "it is a group of keys",
                      "set one of " + join(known, ", "));
  }
  const std::vector<std::string> known = key_paths();
  std::string hint = did_you_mean_hint(flag.key_path, known);
  const Key* elsewhere = key_with_last_word(flag.key_path);
  if (hint.empty() && elsewhere != nullptr) {
    hint = "did you mean \"" + std::string(elsewhere->path) + "\"?";
  }
  return problem_at(flag.origin, flag.key_path, "unknown key " + in_quotes(flag.key_path),
                    hint.empty() ? "known keys: " + join(known, ", ") : hint);
}

void take_flags(std::span<const Override> overrides, Draft& draft) {
  for (const Override& flag : overrides) {
    if (key_of_flag(flag.key_path) == nullptr) {
      draft.problems.push_back(unknown_flag_path(flag));
      continue;
    }
    Node node;
    if (!flag.value.empty()) node = Node{Node::Kind::kScalar, flag.value};
    Origin origin = flag.origin;
    if (const auto before = draft.flags.find(flag.key_path); before != draft.flags.end()) {
      origin.replaced.push_back({before->second.origin.text, before->second.node.text});
      origin.replaced.insert(origin.replaced.end(), before->second.origin.replaced.begin(),
                             before->second.origin.replaced.end());
    }
    draft.flags[flag.key_path] = FlagValue{std::move(node), std::move(origin)};
  }
}

// Those that had no counterpart in the file, in the order of the command line.
void read_unused_flags(std::span<const Override> overrides, Draft& draft) {
  for (const Override& each : overrides) {
    const auto found = draft.flags.find(each.key_path);
    if (found == draft.flags.end() || std::exchange(found->second.used, true)) continue;
    const Key* key = key_of_flag(each.key_path);
    const FlagValue& flag = found->second;
    const bool entry = key->path != each.key_path;
    (entry ? key->read_entry : key->read)(
        Value{key, each.key_path, &flag.node, flag.origin, flag.origin}, draft);
  }
}

// Null when the text cannot be the mapping that a config is; then a problem says so.
NodePtr read_top_level(const SourceText& source, Draft& draft) {
  Document document = read_document(source);
  const bool unreadable = !document.problems.empty() && document.root == nullptr;
  draft.problems = std::move(document.problems);
  if (unreadable) return nullptr;
  const std::string hint = "a run config begins like \"entry_script: train.py\"";
  if (document.root == nullptr || document.root->kind == Node::Kind::kNull) {
    draft.problems.push_back({ErrorCode::kConfig, source.file_name() + " is empty", hint,
                              Location{source.file_name(), 0, 0, ""}});
    return nullptr;
  }
  if (document.root->kind != Node::Kind::kMapping) {
    const char* what = document.root->kind == Node::Kind::kList ? "a list" : "a single value";
    draft.problems.push_back({ErrorCode::kConfig,
                              source.file_name() + " holds " + what + ", not keys with values",
                              hint, source.location({1, 1})});
    return nullptr;
  }
  return document.root;
}

// The tree itself when it is native, else what its dialect's translator makes of it.
NodePtr in_native_form(NodePtr root, const Reading& reading, Draft& draft) {
  const Recognised recognised =
      reading.dialect ? forced(*reading.dialect, *root) : recognise(*root);
  if (recognised.dialect == Dialect::kNative) return root;
  RunConfig& config = draft.config;
  config.dialect = recognised.name;
  config.dialect_reason = recognised.why;
  Translation translation(*draft.source, config.config_directory, reading.read_beside);
  translate(recognised.dialect, root, translation);
  for (Error& problem : translation.take_problems()) draft.problems.push_back(std::move(problem));
  config.remarks = translation.take_remarks();
  draft.what_to_run_refused = translation.has_said_what_to_run();
  config.config_directory = translation.paths_from();
  return translation.native();
}

tl::expected<RunConfig, Problems> finished(Draft draft) {
  if (draft.problems.empty()) return std::move(draft.config);
  // Whatever a message quotes of the file, a terminal gets one line of printable text.
  for (Error& problem : draft.problems) {
    problem.message = on_one_line(problem.message);
    problem.hint = on_one_line(problem.hint);
  }
  sort_and_limit(draft.problems);
  return tl::unexpected<Problems>(std::move(draft.problems));
}

}  // namespace

Result<Override> parse_set(std::string_view text, std::string_view by) {
  const std::size_t equals = text.find('=');
  const std::string given_by(by);
  if (equals == std::string_view::npos || equals == 0) {
    return fail(ErrorCode::kUsage,
                given_by + " " + printable(text) + ": it is not of the form key.path=value",
                "for example --set limits.drain_timeout=10s");
  }
  const auto kind = by.starts_with('-') ? Origin::Kind::kSet : Origin::Kind::kEnvironment;
  return Override{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)),
                  Origin{kind, given_by + " " + std::string(text), std::nullopt}};
}

tl::expected<RunConfig, Problems> read_config(std::string_view text, const std::string& file_name,
                                              const std::string& config_directory,
                                              std::span<const Override> overrides,
                                              const Reading& reading) {
  const SourceText source(text, file_name);
  Draft draft;
  draft.source = &source;
  draft.config.file_name = file_name;
  draft.config.config_directory = config_directory;

  NodePtr root = read_top_level(source, draft);
  take_flags(overrides, draft);
  if (root == nullptr) return finished(std::move(draft));
  root = in_native_form(std::move(root), reading, draft);
  read_mapping(*root, "", draft);
  read_unused_flags(overrides, draft);
  check_together(draft);
  if (reading.check) {
    for (Error& problem : reading.check(draft.config)) draft.problems.push_back(std::move(problem));
  }
  return finished(std::move(draft));
}

tl::expected<RunConfig, Problems> config_from_command(std::vector<std::string> argv,
                                                      std::span<const Override> overrides) {
  if (argv.empty() || argv[0].empty()) {
    return tl::unexpected<Problems>(
        Problems{Error{ErrorCode::kUsage, "no program is given",
                       "write it after --: muster run -- python3 train.py", std::nullopt}});
  }
  Draft draft;
  const Origin origin{Origin::Kind::kFlag, "command line", std::nullopt};
  draft.what_to_run.emplace_back("program", origin);
  draft.config.run = {Program{std::move(argv)}, origin};
  take_flags(overrides, draft);
  read_unused_flags(overrides, draft);
  check_together(draft);
  return finished(std::move(draft));
}

std::vector<std::string> key_paths() {
  std::vector<std::string> paths;
  for (const Key& key : keys()) paths.emplace_back(key.path);
  return paths;
}

}  // namespace muster::config
