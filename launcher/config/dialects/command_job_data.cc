#include "launcher/config/dialects/command_job_data.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
#include "launcher/config/dialects/words.h"

namespace muster::config {
namespace {

constexpr std::array<std::string_view, 6> kLiteralTypes{"string",  "number", "integer",
                                                        "boolean", "bool",   "literal"};

// Where the data is, by the key that each age of the format had for it.
constexpr std::array<std::string_view, 7> kPathKeys{"path",   "dataset", "data",      "file",
                                                    "folder", "uri",     "local_path"};

bool is_literal_type(std::string_view type) {
  return std::find(kLiteralTypes.begin(), kLiteralTypes.end(), type) != kLiteralTypes.end();
}

std::string without_prefix(std::string text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

struct Binding {
  Translation& to;
  NativeKey key;  // inputs.NAME or outputs.NAME
};

// {datastore: azureml:store, path: digits}, of the first preview.
void translate_datastore_path(Fields& fields, const Given& datastore, const Binding& binding) {
  const auto store = binding.to.text_of(datastore);
  const auto path = fields.take_value("path");
  const auto below = path ? binding.to.text_of(*path) : std::nullopt;
  if (!store) return;
  const std::string name = without_prefix(without_prefix(*store, "azureml:"), "//datastores/");
  binding.to.set(binding.key / "path", path ? *path : datastore,
                 "datastore://" + name + "/" + without_prefix(below.value_or(""), "/"),
                 "of datastore " + printable(name));
}

void translate_path(Fields& fields, const Binding& binding) {
  Translation& to = binding.to;
  if (const auto datastore = fields.take_value("datastore")) {
    translate_datastore_path(fields, *datastore, binding);
    return;
  }
  std::optional<Given> first;
  for (const std::string_view name : kPathKeys) {
    const auto given = fields.take_value(name);
    if (!given) continue;
    if (first) {
      to.refuse(*given, printable(first->key) + " is given too, and data is in one place",
                "keep one of the two");
      continue;
    }
    first = given;
    if (given->is_mapping()) {
      Fields inner(to, *given);
      translate_path(inner, binding);
      inner.finish();
    } else if (to.text_of(*given)) {
      to.set(binding.key / "path", *given);
      if (name == "file") to.set(binding.key / "type", *given, "file", "by its key");
    }
  }
}

void translate_type(const Given& given, const std::string& type, const Binding& binding) {
  const std::string word = plain_word(type);
  if (word == "urifile") {
    binding.to.set(binding.key / "type", given, "file", printable(type));
  } else if (word == "urifolder" || word == "mltable" || word.ends_with("model")) {
    binding.to.set(binding.key / "type", given, "folder", printable(type));
  } else {
    binding.to.refuse(given, one_of(type,
                                    "uri_folder, uri_file, mltable, mlflow_model, "
                                    "custom_model, triton_model, string, number, integer, "
                                    "boolean"));
  }
}

void translate_input_mode(const Given& given, const std::string& mode, const Binding& binding) {
  Translation& to = binding.to;
  const std::string word = plain_word(mode);
  const bool writable = word == "rwmount" || word == "readwritemount";
  if (word.starts_with("eval")) {
    to.refuse(given, in_quotes(mode) + " lets Azure ML evaluate a table, which Muster does not do",
              "use ro_mount or download, and let the program read the table's files");
  } else if (writable || word == "romount" || word == "readonlymount" || word == "mount") {
    to.set(binding.key / "mode", given, "mount", word == "mount" ? "" : printable(mode));
    to.set(binding.key / "read_only", given, writable ? "false" : "true", printable(mode));
  } else if (word == "download" || word == "direct") {
    to.set(binding.key / "mode", given, word);
  } else {
    to.refuse(given, one_of(mode, "ro_mount, rw_mount, download, direct"));
  }
}

void translate_output_mode(const Given& given, const std::string& mode, const Binding& binding) {
  const std::string word = plain_word(mode);
  if (word == "rwmount" || word == "readwritemount" || word == "mount") {
    binding.to.set(binding.key / "mode", given, "mount", word == "mount" ? "" : printable(mode));
  } else if (word == "upload" || word == "direct") {
    binding.to.set(binding.key / "mode", given, word);
  } else {
    binding.to.refuse(given, one_of(mode, "rw_mount, upload, direct"));
  }
}

// The text below a key, if it has one.
std::optional<std::pair<Given, std::string>> take_text(Fields& fields, Translation& to,
                                                       std::string_view name) {
  const auto given = fields.take_value(name);
  if (!given) return std::nullopt;
  auto text = to.text_of(*given);
  if (!text) return std::nullopt;
  return std::pair(*given, std::move(*text));
}

// "type", which the service's form calls jobInputType and jobOutputType.
std::optional<std::pair<Given, std::string>> take_type(Fields& fields, Translation& to,
                                                       std::string_view of_service) {
  auto type = take_text(fields, to, "type");
  auto other = take_text(fields, to, of_service);
  return type ? type : other;
}

bool is_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  return !text.empty() && read.ptr == end;
}

bool is_of_type(const std::string& text, const std::string& type) {
  if (type == "integer") return parse_integer(text).has_value();
  if (type == "number") return is_number(text);
  const std::string word = plain_word(text);
  return !type.starts_with("bool") || word == "true" || word == "false";
}

// The text is passed on as it is: a program may well take it.
void warn_of_type(const Given& value, const std::string& type, Translation& to) {
  if (value.is_scalar() && !is_of_type(value.text(), type)) {
    to.warn(value, in_quotes(value.text()) + " is no " + type + ", and is passed on as written");
  }
}

void translate_literal(Fields& fields, const Given& input, const std::string& type,
                       const Binding& binding) {
  binding.to.set_node(binding.key, input, Node{});
  for (const std::string_view name : {"value", "default", "path"}) {
    if (const auto given = fields.take_value(name)) {
      if (!binding.to.text_of(*given)) return;
      warn_of_type(*given, type, binding.to);
      binding.to.set(binding.key, *given);
      return;
    }
  }
}

void translate_input(const Given& input, const Binding& binding) {
  Translation& to = binding.to;
  if (!input.is_mapping()) {  // a value, or none; a list is refused where the key is read
    to.set(binding.key, input);
    return;
  }
  Fields fields(to, input);
  fields.pass({"description", "display_name", "optional", "min", "max", "enum", "version",
               "is_deterministic"});
  const auto type = take_type(fields, to, "job_input_type");
  if (type && is_literal_type(plain_word(type->second))) {
    translate_literal(fields, input, plain_word(type->second), binding);
    fields.finish();
    return;
  }
  to.set_node(binding.key, input, Node{});
  translate_path(fields, binding);
  if (type) translate_type(type->first, type->second, binding);
  if (const auto mode = take_text(fields, to, "mode")) {
    translate_input_mode(mode->first, mode->second, binding);
  }
  if (const auto path = fields.take_value("path_on_compute")) {
    to.set(binding.key / "path_on_compute", *path);
  }
  fields.finish();
}

void translate_output(const Given& output, const Binding& binding) {
  Translation& to = binding.to;
  if (!output.is_mapping()) {
    to.set(binding.key, output);
    return;
  }
  to.set_node(binding.key, output, Node{});
  Fields fields(to, output);
  fields.pass({"description", "version", "tags", "properties", "early_available", "disable_rename",
               "asset_name", "asset_version", "auto_delete_setting"});
  translate_path(fields, binding);
  if (const auto type = take_type(fields, to, "job_output_type")) {
    translate_type(type->first, type->second, binding);
  }
  if (const auto mode = take_text(fields, to, "mode")) {
    translate_output_mode(mode->first, mode->second, binding);
  }
  if (const auto name = fields.take_value("name")) {
    to.elsewhere(*name, "the output is not registered as a data asset");
  }
  if (const auto path = fields.take_value("path_on_compute")) {
    to.set(binding.key / "path_on_compute", *path);
  }
  fields.finish();
}

template <typename One>
void translate_each(const Given& group, const char* name, Translation& to, One translate_one) {
  if (group.is_null()) return;
  if (!group.is_mapping()) {
    to.refuse(group, "it takes names with values");
    return;
  }
  for (const Given& entry : group.entries()) {
    translate_one(entry, Binding{to, NativeKey(name) / entry.key});
  }
}

}  // namespace

void translate_job_inputs(const Given& inputs, Translation& to) {
  translate_each(inputs, "inputs", to, translate_input);
}

void translate_job_outputs(const Given& outputs, Translation& to) {
  translate_each(outputs, "outputs", to, translate_output);
}

}  // namespace muster::config
