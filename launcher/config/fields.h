// What the readers of keys.cc have in common.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "launcher/config/keys.h"
#include "launcher/config/values.h"

namespace muster::config {

// The text of a value; refuses nothing, lists and mappings.
std::optional<std::string_view> scalar_text(const Value& value, Draft& draft);

// The scalar as `parse` reads it; anything else is a problem.
template <typename Parse>
auto parsed(const Value& value, Draft& draft, Parse parse)
    -> std::optional<typename decltype(parse(std::string_view()))::value_type> {
  const auto text = scalar_text(value, draft);
  if (!text) return std::nullopt;
  auto result = parse(*text);
  if (result) return std::move(*result);
  Unfit unfit = std::move(result).error();
  draft.refuse(value, unfit.why,
               unfit.hint.empty() ? std::string(value.key->expected) : unfit.hint);
  return std::nullopt;
}

template <typename T, typename Parse>
void read_into(Setting<T>& setting, const Value& value, Draft& draft, Parse parse) {
  if (auto read = parsed(value, draft, parse)) setting = {std::move(*read), value.origin};
}

template <int kLeast>
Parsed<int> count_from(std::string_view text) {
  return parse_count(text, kLeast);
}

template <int kLeast>
Parsed<std::optional<int>> count_or_auto_from(std::string_view text) {
  return parse_count_or_auto(text, kLeast);
}

// A problem with the name rather than the value.
void refuse_name(const Value& value, Draft& draft, std::string_view path, std::string_view why,
                 std::string hint);

// A key whose feature this version lacks: a value that asks for nothing passes, any other is
// refused with what to do instead.
void read_max_restarts(const Value& value, Draft& draft);

// Remembers a text that may hold ${{inputs.NAME}}, for check_references().
void note_references(const Value& value, Draft& draft, std::string_view text);

// Refuses a text with ${{…}} where nothing fills it in; true when it did.
bool refuse_expression(const Value& value, Draft& draft, std::string_view text);

// The words of a list; a single value is a list of one.
std::optional<std::vector<Setting<std::string>>> word_list(const Value& value, Draft& draft);

// inputs and outputs, in data_fields.cc.  An entry is a name's data, or one field of it from a flag
// ("inputs.digits.path").
void read_inputs(const Value& value, Draft& draft);
void read_input(const Value& value, Draft& draft);
void read_outputs(const Value& value, Draft& draft);
void read_output(const Value& value, Draft& draft);
void show_inputs(const Key& key, const RunConfig& config, std::vector<Row>& rows);
void show_outputs(const Key& key, const RunConfig& config, std::vector<Row>& rows);

}  // namespace muster::config
