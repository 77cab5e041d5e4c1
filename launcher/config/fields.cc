#include "launcher/config/fields.h"

#include "launcher/config/expressions.h"

namespace muster::config {
namespace {

constexpr std::string_view kNotAvailable = " not available in this version of muster";

void refuse_feature(const Value& value, Draft& draft, std::string_view what,
                    std::string_view instead) {
  refuse_name(value, draft, value.path, std::string(what) + std::string(kNotAvailable),
              std::string(instead));
}

}  // namespace

std::optional<std::string_view> scalar_text(const Value& value, Draft& draft) {
  const std::string hint(value.key->expected);
  switch (value.node->kind) {
    case Node::Kind::kScalar: return value.node->text;
    case Node::Kind::kNull: draft.refuse(value, "it has no value", hint); break;
    case Node::Kind::kList: draft.refuse(value, "it takes one value, not a list", hint); break;
    case Node::Kind::kMapping:
      draft.refuse(value, "it takes one value, not a mapping", hint);
      break;
  }
  return std::nullopt;
}

void refuse_name(const Value& value, Draft& draft, std::string_view path, std::string_view why,
                 std::string hint) {
  const std::string_view shown = path == value.path ? value.shown_path() : path;
  draft.problems.push_back(problem_at(value.key_origin, shown, why, std::move(hint)));
}

// In the words by which the value was given: a flag's, a variable's or the config's.
std::string way_to_set(const Value& value, const std::string& key, const std::string& wanted) {
  const Origin& origin = value.origin;
  const std::string given = origin.text.substr(0, origin.text.find(' '));
  if (origin.kind == Origin::Kind::kFlag) return "write " + given + " " + wanted;
  if (origin.kind == Origin::Kind::kEnvironment && !origin.text.starts_with("MUSTER_SET ")) {
    return "write " + given + "=" + wanted;
  }
  return "set " + key + " to " + wanted;
}

void note_references(const Value& value, Draft& draft, std::string_view text) {
  if (!has_expression(text)) return;
  draft.references.push_back({value.shown_path(), std::string(text), value.origin});
}

bool refuse_expression(const Value& value, Draft& draft, std::string_view text) {
  if (!has_expression(text)) return false;
  const auto parts = parse_expressions(text);
  if (parts) {
    draft.refuse(value, "${{…}} is filled in only in commands, arguments and variables",
                 "write the value itself");
  } else {
    draft.refuse(value, parts.error().why, parts.error().hint);
  }
  return true;
}

void read_max_restarts(const Value& value, Draft& draft) {
  const auto count = parsed(value, draft, count_from<0>);
  if (count.value_or(0) == 0) return;
  refuse_feature(
      value, draft, "restarting a failed run is",
      way_to_set(value, "max_restarts", "0") + ", and start the run again when it failed");
}

std::optional<std::vector<Setting<std::string>>> word_list(const Value& value, Draft& draft) {
  const Node& node = *value.node;
  std::vector<Setting<std::string>> words;
  if (node.kind == Node::Kind::kNull) return words;
  if (node.kind == Node::Kind::kScalar)
    return std::vector{Setting<std::string>{node.text, value.origin}};
  if (node.kind == Node::Kind::kMapping) {
    draft.refuse(value, "it takes a list", std::string(value.key->expected));
    return std::nullopt;
  }
  for (const NodePtr& item : node.items) {
    if (item->kind != Node::Kind::kScalar) {
      draft.refuse(value, "it takes a list of single values", std::string(value.key->expected));
      return std::nullopt;
    }
    words.push_back({item->text, value.origin});
  }
  return words;
}

}  // namespace muster::config
