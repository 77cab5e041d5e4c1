// inputs and outputs: names with where their data is and how it gets to the ranks or from them.
//
//   inputs:
//     digits: {path: datastore://store/digits, mode: mount}
//     lr: 0.1          a value and no data
//   outputs:
//     model: {path: datastore://store/models, mode: upload}
//     notes:           stays in the run directory
#include <algorithm>
#include <array>
#include <functional>

#include "base/text.h"
#include "launcher/config/fields.h"

namespace muster::config {
namespace {

enum class Direction { kIn, kOut };

using Bindings = std::vector<DataBinding>;

// One field of an entry; each row says for which of the two it is.
struct Field {
  std::string_view name;
  bool for_inputs;
  bool for_outputs;
  void (*read)(const Value& value, Direction direction, DataBinding& binding, Draft& draft);
};

template <auto kMember>
void read_text_field(const Value& value, Direction, DataBinding& binding, Draft& draft) {
  if (value.node->kind == Node::Kind::kNull) return;
  auto text = parsed(value, draft, parse_text);
  if (!text) return;
  if (refuse_expression(value, draft, *text)) return;
  binding.*kMember = {std::move(*text), value.origin};
}

template <auto kMember, auto kParse>
void read_field(const Value& value, Direction, DataBinding& binding, Draft& draft) {
  read_into(binding.*kMember, value, draft, kParse);
}

void read_mode(const Value& value, Direction direction, DataBinding& binding, Draft& draft) {
  const auto mode = parsed(value, draft, parse_data_mode);
  if (!mode) return;
  if (direction == Direction::kIn && *mode == DataMode::kUpload) {
    draft.refuse(value, "an input is not uploaded", "declare it under outputs");
  } else if (direction == Direction::kOut && *mode == DataMode::kDownload) {
    draft.refuse(value, "an output is not downloaded", "declare it under inputs");
  } else {
    binding.mode = {*mode, value.origin};
  }
}

void read_variable_name(const Value& value, Direction, DataBinding& binding, Draft& draft) {
  const auto text = scalar_text(value, draft);
  if (!text) return;
  if (Unfit unfit = check_variable_name(*text); !unfit.why.empty()) {
    draft.refuse(value, unfit.why, unfit.hint);
    return;
  }
  binding.environment_variable = {std::string(*text), value.origin};
}

constexpr std::array kFields{
    Field{"path", true, true, read_text_field<&DataBinding::path>},
    Field{"mode", true, true, read_mode},
    Field{"type", true, true, read_field<&DataBinding::type, parse_data_type>},
    Field{"read_only", true, false, read_field<&DataBinding::read_only, parse_bool>},
    Field{"path_on_compute", true, true, read_text_field<&DataBinding::path_on_compute>},
    Field{"environment_variable", true, true, read_variable_name},
    Field{"overwrite", false, true, read_field<&DataBinding::overwrite, parse_bool>},
};

bool fits(const Field& field, Direction direction) {
  return direction == Direction::kIn ? field.for_inputs : field.for_outputs;
}

const Field* find_field(std::string_view name, Direction direction) {
  const auto found = std::find_if(kFields.begin(), kFields.end(), [&](const Field& field) {
    return field.name == name && fits(field, direction);
  });
  return found == kFields.end() ? nullptr : found;
}

std::vector<std::string> field_names(Direction direction) {
  std::vector<std::string> names;
  for (const Field& field : kFields) {
    if (fits(field, direction)) names.emplace_back(field.name);
  }
  return names;
}

void refuse_field(const Origin& origin, std::string_view name, const std::string& path,
                  Direction direction, Draft& draft) {
  const std::vector<std::string> known = field_names(direction);
  std::string hint = did_you_mean_hint(std::string(name), known);
  if (hint.empty()) hint = "known keys here: " + join(known, ", ");
  draft.problems.push_back({ErrorCode::kConfig,
                            "unknown key " + in_quotes(name) + " in " + on_one_line(path),
                            std::move(hint), origin.location});
}

DataBinding& binding_of(Bindings& bindings, const std::string& name, const Origin& origin) {
  const auto found = std::find_if(bindings.begin(), bindings.end(),
                                  [&](const DataBinding& each) { return each.name == name; });
  if (found != bindings.end()) return *found;
  DataBinding binding;
  binding.name = name;
  binding.origin = origin;
  return bindings.emplace_back(std::move(binding));
}

void read_fields(const Value& value, Direction direction, DataBinding& binding, Draft& draft) {
  for (const Entry& entry : value.node->entries) {
    const Field* field = find_field(entry.key, direction);
    if (field == nullptr) {
      refuse_field(draft.source->origin(entry.key_place), entry.key, value.path, direction, draft);
      continue;
    }
    const Value inner = value_of(entry, value.key, value.path + "." + entry.key, draft);
    field->read(inner, direction, binding, draft);
  }
}

// `rest` is what follows "inputs.": a name, or from a flag also "name.field".
void read_binding(const Value& value, const std::string& rest, Direction direction,
                  Bindings& bindings, Draft& draft) {
  const std::size_t dot = rest.find('.');
  const std::string name = rest.substr(0, dot);
  if (Unfit unfit = check_data_name(name); !unfit.why.empty()) {
    refuse_name(value, draft, value.key->path, unfit.why, unfit.hint);
    return;
  }
  DataBinding& binding = binding_of(bindings, name, value.key_origin);
  if (dot != std::string::npos) {
    const std::string_view field_name = std::string_view(rest).substr(dot + 1);
    if (const Field* field = find_field(field_name, direction)) {
      field->read(value, direction, binding, draft);
    } else {
      refuse_field(value.origin, field_name, value.path, direction, draft);
    }
    return;
  }
  switch (value.node->kind) {
    case Node::Kind::kNull: return;
    case Node::Kind::kMapping: read_fields(value, direction, binding, draft); return;
    case Node::Kind::kScalar:
      if (direction == Direction::kIn) {
        if (refuse_expression(value, draft, value.node->text)) return;
        binding.literal = Setting<std::string>{value.node->text, value.origin};
        return;
      }
      draft.refuse(value, "an output is no value",
                   "write {path: " + printable(value.node->text) + "}");
      return;
    case Node::Kind::kList:
      draft.refuse(value, "it takes one value or names with values, not a list",
                   std::string(value.key->expected));
      return;
  }
}

void read_bindings(const Value& value, Direction direction, Bindings& bindings, Draft& draft) {
  if (value.node->kind == Node::Kind::kNull) return;
  if (value.node->kind != Node::Kind::kMapping) {
    draft.refuse(value, "it takes names with values", std::string(value.key->expected));
    return;
  }
  for (const Entry& entry : value.node->entries) {
    const std::string path = value.path + "." + entry.key;
    if (!check_data_name(entry.key).why.empty()) {  // it may hold a dot, too
      const Unfit unfit = check_data_name(entry.key);
      draft.problems.push_back(problem_at(draft.source->origin(entry.key_place), value.key->path,
                                          unfit.why, unfit.hint));
      continue;
    }
    read_binding(value_of(entry, value.key, path, draft), entry.key, direction, bindings, draft);
  }
}

std::string entry_rest(const Value& value) {
  return value.path.substr(value.key->path.size() + 1);
}

template <typename T, std::size_t N>
Shown name_of(T value, const std::array<std::pair<std::string_view, T>, N>& names) {
  for (const auto& [name, each] : names) {
    if (each == value) return std::string(name);
  }
  return {};
}

Shown text_of(const std::optional<std::string>& text) {
  return text ? Shown(*text) : Shown();
}

Shown text_of(bool value) {
  return value ? "true" : "false";
}

// Each with its path and mode, and whatever else was said.
void show_bindings(const Key& key, Direction direction, const Bindings& bindings,
                   std::vector<Row>& rows) {
  for (const DataBinding& binding : bindings) {
    const std::string prefix = std::string(key.path) + "." + binding.name;
    const auto add = [&](const char* field, Shown value, const Origin& origin, bool always) {
      if (!always && origin.kind == Origin::Kind::kDefault) return;
      rows.push_back({prefix + "." + field, std::move(value), origin});
    };
    if (binding.literal) {
      rows.push_back({prefix, binding.literal->value, binding.literal->origin});
      continue;
    }
    const bool has_path = binding.path.value.has_value();
    if (!has_path && direction == Direction::kIn) {
      rows.push_back({prefix, Shown(), binding.origin});
      continue;
    }
    add("path", text_of(binding.path.value), has_path ? binding.path.origin : binding.origin, true);
    add("mode", name_of(binding.mode.value, kDataModeNames), binding.mode.origin, has_path);
    add("type", name_of(binding.type.value, kDataTypeNames), binding.type.origin, false);
    add("read_only", text_of(binding.read_only.value), binding.read_only.origin, false);
    add("path_on_compute", text_of(binding.path_on_compute.value), binding.path_on_compute.origin,
        false);
    add("environment_variable", text_of(binding.environment_variable.value),
        binding.environment_variable.origin, false);
    add("overwrite", text_of(binding.overwrite.value), binding.overwrite.origin, false);
  }
}

}  // namespace

void read_inputs(const Value& value, Draft& draft) {
  read_bindings(value, Direction::kIn, draft.config.inputs, draft);
}

void read_input(const Value& value, Draft& draft) {
  read_binding(value, entry_rest(value), Direction::kIn, draft.config.inputs, draft);
}

void read_outputs(const Value& value, Draft& draft) {
  read_bindings(value, Direction::kOut, draft.config.outputs, draft);
}

void read_output(const Value& value, Draft& draft) {
  read_binding(value, entry_rest(value), Direction::kOut, draft.config.outputs, draft);
}

void show_inputs(const Key& key, const RunConfig& config, std::vector<Row>& rows) {
  show_bindings(key, Direction::kIn, config.inputs, rows);
}

void show_outputs(const Key& key, const RunConfig& config, std::vector<Row>& rows) {
  show_bindings(key, Direction::kOut, config.outputs, rows);
}

}  // namespace muster::config
