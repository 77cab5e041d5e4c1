// metrics:
//   patterns:
//     - {name: loss, regex: 'loss=([0-9.eE+-]+)'}
//     - huggingface
//     - 'loss=loss: ([0-9.]+)'        the same as a name and a regex, as --pattern has it
//
// An expression is compiled when it is read: a mistake in it is told before anything runs.
#include "launcher/config/metric_patterns.h"

#include <algorithm>
#include <array>

#include <re2/re2.h>

#include "base/text.h"
#include "launcher/config/fields.h"

namespace muster::config {
namespace {

constexpr std::string_view kOneEntry =
    "write an entry such as {name: loss, regex: 'loss=([0-9.eE+-]+)'}, or huggingface, lightning, "
    "megatron or key=value";
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestRegex = 500;
// collector/metrics/patterns.cc knows what they are.
constexpr std::array<std::string_view, 4> kPresets{"huggingface", "lightning", "megatron",
                                                   "key=value"};

bool has_controls(std::string_view text) {
  return without_controls(text) != text;
}

void check_name(const Value& value, const std::string& name, Draft& draft) {
  if (name.empty() || name.size() > kLongestName || has_controls(name)) {
    draft.refuse(value, "a metric's name has 1 to 255 characters", "write a name such as loss");
  }
}

void check_regex(const Value& value, const std::string& regex, Draft& draft) {
  if (regex.size() > kLongestRegex) {
    draft.refuse(value, "an expression has up to 500 characters", "write several patterns");
    return;
  }
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 compiled(regex, options);
  if (!compiled.ok()) {
    draft.refuse(
        value,
        in_quotes(regex) + " is no regular expression: " + without_controls(compiled.error()),
        "RE2's syntax holds: no look-ahead, no back-references");
    return;
  }
  const int groups = compiled.NumberOfCapturingGroups();
  if (groups == 1) return;
  draft.refuse(
      value,
      in_quotes(regex) + " has " + counted(groups, "group") + ", and needs one, around the number",
      "write for example loss=([0-9.eE+-]+); (?:…) groups without counting");
}

void read_text(const Value& value, const std::string& text, Draft& draft) {
  MetricPattern pattern{text, "", "", value.origin};
  if (std::find(kPresets.begin(), kPresets.end(), text) == kPresets.end()) {
    const std::size_t equals = text.find('=');
    if (equals == text.npos) {
      const std::vector<std::string> names(kPresets.begin(), kPresets.end());
      std::string hint = did_you_mean_hint(text, names);
      draft.refuse(value, in_quotes(text) + " is no pattern",
                   hint.empty() ? std::string(kOneEntry) : std::move(hint));
      return;
    }
    pattern = {"", text.substr(0, equals), text.substr(equals + 1), value.origin};
    check_name(value, pattern.name, draft);
    check_regex(value, pattern.regex, draft);
  }
  draft.config.metric_patterns.push_back(std::move(pattern));
}

void read_entry(const Value& list, const Node& item, const std::string& path, Draft& draft) {
  MetricPattern pattern{"", "", "", list.origin};
  const std::vector<std::string> known{"name", "regex"};
  std::vector<std::string> given;
  bool misspelt = false;
  for (const Entry& field : item.entries) {
    if (std::find(known.begin(), known.end(), field.key) == known.end()) {
      std::string hint = did_you_mean_hint(field.key, known);
      if (hint.empty()) hint = "known keys here: name, regex";
      draft.problems.push_back({ErrorCode::kConfig,
                                "unknown key " + in_quotes(field.key) + " in " + path,
                                std::move(hint), draft.source->origin(field.key_place).location});
      misspelt = true;
      continue;
    }
    const Value value = value_of(field, list.key, path + "." + field.key, draft);
    const auto text = scalar_text(value, draft);
    given.push_back(field.key);
    if (!text) continue;
    if (field.key == "name") {
      pattern.name = *text;
      pattern.origin = value.origin;
      check_name(value, pattern.name, draft);
    } else {
      pattern.regex = *text;
      check_regex(value, pattern.regex, draft);
    }
  }
  if (misspelt) return;  // what is missing has been said
  for (const std::string& name : known) {
    if (std::find(given.begin(), given.end(), name) == given.end()) {
      draft.refuse(list, "entry " + path.substr(path.rfind('[')) + " has no " + name,
                   std::string(kOneEntry));
      return;
    }
  }
  draft.config.metric_patterns.push_back(std::move(pattern));
}

}  // namespace

void read_metric_patterns(const Value& value, Draft& draft) {
  draft.config.metric_patterns.clear();
  const Node& node = *value.node;
  if (node.kind == Node::Kind::kNull) return;
  if (node.kind == Node::Kind::kScalar) return read_text(value, node.text, draft);
  if (node.kind != Node::Kind::kList) {
    draft.refuse(value, "it takes a list", std::string(kOneEntry));
    return;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = *node.items[i];
    if (item.kind == Node::Kind::kScalar) {
      read_text(value, item.text, draft);
    } else if (item.kind == Node::Kind::kMapping) {
      read_entry(value, item, value.path + "[" + std::to_string(i) + "]", draft);
    } else {
      draft.refuse(value, "its entry " + std::to_string(i) + " is no pattern",
                   std::string(kOneEntry));
    }
  }
}

void show_metric_patterns(const Key& key, const RunConfig& config, std::vector<Row>& rows) {
  if (config.metric_patterns.empty()) return;
  std::vector<std::string> shown;
  for (const MetricPattern& pattern : config.metric_patterns) {
    shown.push_back(pattern.preset.empty() ? pattern.name + "=" + pattern.regex : pattern.preset);
  }
  rows.push_back({std::string(key.path), std::move(shown), config.metric_patterns.front().origin});
}

}  // namespace muster::config
