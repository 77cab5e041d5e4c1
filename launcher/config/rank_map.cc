// resources:
//   rank_map:
//     - {cpus: 0-3, gpus: [0], memory_nodes: 0, nics: [mlx5_0]}
//     - {cpus: 4-7, gpus: [1]}
//
// An entry for each local rank, in their order.  What an entry leaves out is chosen as for any
// other rank.
#include "launcher/config/rank_map.h"

#include <algorithm>
#include <array>

#include "base/cpu_set.h"
#include "base/text.h"
#include "launcher/config/fields.h"

namespace muster::config {
namespace {

constexpr std::string_view kOneEntry = "write an entry such as {cpus: 0-3, gpus: [0]}";

struct Field {
  std::string_view name;
  void (*read)(const Value& value, RankMapEntry& entry, Draft& draft);
};

// A Linux list, "0-3,8": of one text, or of a list of numbers and ranges.
std::optional<Setting<std::string>> linux_list(const Value& value, Draft& draft) {
  const auto words = word_list(value, draft);
  if (!words) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& word : *words) texts.push_back(word.value);
  std::string text = join(texts, ",");
  const auto set = CpuSet::parse(text);
  if (!set || set->empty()) {
    draft.refuse(value, in_quotes(text) + " is no list of numbers",
                 "write numbers and ranges, for example 0-3,8");
    return std::nullopt;
  }
  return Setting<std::string>{set->to_string(), value.origin};
}

void read_cpus(const Value& value, RankMapEntry& entry, Draft& draft) {
  entry.cpus = linux_list(value, draft);
}

void read_memory_nodes(const Value& value, RankMapEntry& entry, Draft& draft) {
  entry.memory_nodes = linux_list(value, draft);
}

void read_gpus(const Value& value, RankMapEntry& entry, Draft& draft) {
  const auto words = word_list(value, draft);
  if (!words) return;
  std::vector<int> ordinals;
  for (const auto& word : *words) {
    const auto ordinal = parse_count(word.value, 0);
    if (!ordinal) {
      draft.refuse(value, ordinal.error().why, "write a list of GPU numbers, for example [0, 1]");
      return;
    }
    if (std::find(ordinals.begin(), ordinals.end(), *ordinal) != ordinals.end()) {
      draft.refuse(value, "it names GPU " + word.value + " twice", "name each GPU once");
      return;
    }
    ordinals.push_back(*ordinal);
  }
  entry.gpus = Setting<std::vector<int>>{std::move(ordinals), value.origin};
}

void read_nics(const Value& value, RankMapEntry& entry, Draft& draft) {
  const auto words = word_list(value, draft);
  if (!words) return;
  std::vector<std::string> names;
  for (const auto& word : *words) names.push_back(word.value);
  entry.nics = Setting<std::vector<std::string>>{std::move(names), value.origin};
}

constexpr std::array kFields{
    Field{"cpus", read_cpus},
    Field{"gpus", read_gpus},
    Field{"memory_nodes", read_memory_nodes},
    Field{"nics", read_nics},
};

std::vector<std::string> field_names() {
  std::vector<std::string> names;
  for (const Field& field : kFields) names.emplace_back(field.name);
  return names;
}

RankMapEntry read_entry(const Value& list, const Node& item, const std::string& path,
                        Draft& draft) {
  RankMapEntry entry;
  entry.origin = list.origin;
  for (const Entry& field : item.entries) {
    const auto* known = std::find_if(kFields.begin(), kFields.end(),
                                     [&](const Field& each) { return each.name == field.key; });
    if (known == kFields.end()) {
      std::string hint = did_you_mean_hint(field.key, field_names());
      if (hint.empty()) hint = "known keys here: " + join(field_names(), ", ");
      draft.problems.push_back({ErrorCode::kConfig,
                                "unknown key " + in_quotes(field.key) + " in " + path,
                                std::move(hint), draft.source->origin(field.key_place).location});
      continue;
    }
    const Value value = value_of(field, list.key, path + "." + field.key, draft);
    if (&field == &item.entries.front()) entry.origin = value.origin;
    known->read(value, entry, draft);
  }
  return entry;
}

std::string shown_entry(const RankMapEntry& entry) {
  std::vector<std::string> parts;
  if (entry.cpus) parts.push_back("cpus " + entry.cpus->value);
  if (entry.gpus) {
    std::vector<std::string> numbers;
    for (const int gpu : entry.gpus->value) numbers.push_back(std::to_string(gpu));
    parts.push_back("gpus " + (numbers.empty() ? "none" : join(numbers, ",")));
  }
  if (entry.memory_nodes) parts.push_back("memory_nodes " + entry.memory_nodes->value);
  if (entry.nics) {
    parts.push_back("nics " + (entry.nics->value.empty() ? "none" : join(entry.nics->value, ",")));
  }
  return parts.empty() ? "as any other" : join(parts, "; ");
}

}  // namespace

void read_rank_map(const Value& value, Draft& draft) {
  if (value.node->kind == Node::Kind::kNull) return;
  if (value.node->kind != Node::Kind::kList) {
    draft.refuse(value, "it takes a list", std::string(value.key->expected));
    return;
  }
  std::vector<RankMapEntry> entries;
  for (std::size_t i = 0; i < value.node->items.size(); ++i) {
    const Node& item = *value.node->items[i];
    const std::string path = value.path + "[" + std::to_string(i) + "]";
    if (item.kind != Node::Kind::kMapping && item.kind != Node::Kind::kNull) {
      draft.refuse(value, "its entry for local rank " + std::to_string(i) + " has no names",
                   std::string(kOneEntry));
      return;
    }
    entries.push_back(read_entry(value, item, path, draft));
  }
  draft.config.resources.rank_map = std::move(entries);
}

void show_rank_map(const Key& key, const RunConfig& config, std::vector<Row>& rows) {
  const auto& entries = config.resources.rank_map;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    rows.push_back({std::string(key.path) + "[" + std::to_string(i) + "]", shown_entry(entries[i]),
                    entries[i].origin});
  }
}

}  // namespace muster::config
