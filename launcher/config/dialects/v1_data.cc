// The data of a v1 run configuration: dataReferences (of 2018), data and outputData (of 2019 on).
//
//   dataReferences  mode mount, download: an input, and a mounted one may be written;  upload: an
//                   output
//   data            an input; mechanism direct unless it says otherwise;  upload: an output
//   outputData      an output; mechanism mount unless it says otherwise

#include "base/text.h"
#include "launcher/config/dialects/run_configuration.h"
#include "launcher/config/dialects/words.h"

namespace muster::config::v1 {
namespace {

// Where data is, as the native form writes it, and the value that says so.
struct DataPath {
  Given given;
  std::string text;
  bool file = false;
};

std::string in_datastore(const std::string& store, std::string path) {
  while (path.starts_with('/')) path = path.substr(1);
  return "datastore://" + store + (path.empty() ? "" : "/" + path);
}

// The mode's word in the native form's spelling; nullopt when it was refused.
std::optional<std::string> mode_of(Fields& entry, std::string_view key, const char* if_none,
                                   std::initializer_list<std::string_view> known,
                                   std::optional<Given>& given, Translation& to) {
  given = entry.take_value(key);
  if (given && is_none(*given)) given.reset();
  if (!given) return if_none;
  const auto text = to.text_of(*given);
  if (!text) return std::nullopt;
  const std::string word = lower(*text);
  std::vector<std::string> words;
  for (const std::string_view each : known) {
    if (word == each) return word;
    words.emplace_back(each);
  }
  std::string hint = did_you_mean_hint(word, words);
  to.refuse(*given, in_quotes(*text) + " is not one of " + join(words, ", "), std::move(hint));
  return std::nullopt;
}

// The native entry that a name gets; nullopt when the name is taken.
std::optional<NativeKey> begin_entry(const Given& name, bool output, Translation& to) {
  NativeKey key = NativeKey(output ? "outputs" : "inputs") / name.key;
  if (to.has(key)) {
    to.refuse_key(
        name, std::string("there is another ") + (output ? "output" : "input") + " of this name",
        "give one of them another name");
    return std::nullopt;
  }
  to.begin(key, name);
  return key;
}

void set_mode(const NativeKey& entry, const Given& name, const std::optional<Given>& given,
              const std::string& mode, const char* why, Translation& to) {
  if (given) {
    to.set(entry / "mode", *given, mode);
  } else {
    to.set(entry / "mode", name, mode, why);
  }
}

void set_if_named(const NativeKey& key, Fields& fields, std::string_view name, Translation& to) {
  const auto value = fields.take_value(name);
  if (!value || is_none(*value)) return;
  const auto text = to.text_of(*value);
  if (text && !text->empty()) to.set(key, *value, *text);
}

void set_overwrite(const NativeKey& entry, Fields& fields, bool output, Translation& to) {
  const auto value = fields.take_value("overwrite");
  if (!value || is_none(*value)) return;
  const auto flag = to.flag_of(*value);
  if (flag && output) to.set(entry / "overwrite", *value, *flag ? "true" : "false");
}

void translate_reference(const Given& name, Translation& to) {
  if (!name.is_mapping()) {
    to.refuse(name, "it takes a datastore and a path",
              "write {dataStoreName: NAME, pathOnDataStore: PATH}");
    return;
  }
  Fields fields(to, name);
  std::optional<Given> given_mode;
  const auto mode =
      mode_of(fields, "mode", "mount", {"mount", "download", "upload"}, given_mode, to);
  const auto store = fields.take_value("dataStoreName");
  const std::string path = named_text(to, fields, "pathOnDataStore").value_or("");
  const auto store_name = store ? to.text_of(*store) : std::nullopt;
  if (!store_name || store_name->empty()) {
    to.refuse_key(name, "it names no datastore", "add dataStoreName");
  }
  const bool output = mode == "upload";
  const auto entry = mode ? begin_entry(name, output, to) : std::nullopt;
  if (entry && store_name && !store_name->empty()) {
    to.set(*entry / "path", *store, in_datastore(*store_name, path),
           path.empty() ? "its root" : "");
    set_mode(*entry, name, given_mode, *mode, "a data reference without a mode", to);
    if (mode == "mount") {
      to.set(*entry / "read_only", name, "false", "a mounted data reference may be written");
    }
    set_if_named(*entry / "path_on_compute", fields, "pathOnCompute", to);
    set_overwrite(*entry, fields, output, to);
  }
  fields.pass({"pathOnCompute", "overwrite"});
  fields.finish();
}

std::optional<DataPath> path_of_dataset(const Given& given, Translation& to) {
  Fields dataset(to, given);
  const auto name = named_text(to, dataset, "name");
  const auto id = named_text(to, dataset, "id");
  const auto version = named_text(to, dataset, "version");
  dataset.finish();
  if (!name && !id) return std::nullopt;
  std::string text = "azureml:" + (name ? *name : *id);
  // The word, as the SDK writes it, is no version but the highest of them.
  if (name && version) text += (lower(*version) == "latest" ? "@" : ":") + *version;
  return DataPath{given, std::move(text)};
}

// dataLocation or outputLocation: a dataset, a place in a datastore, or an address.
std::optional<DataPath> path_of_location(Fields& entry, std::string_view key, Translation& to) {
  auto location = entry.take_group(key);
  if (!location) return std::nullopt;
  std::optional<DataPath> path;
  if (const auto dataset = location->take_value("dataset"); dataset && dataset->is_mapping()) {
    path = path_of_dataset(*dataset, to);
  }
  if (auto place = location->take_group("dataPath")) {
    const auto store = named_text(to, *place, "datastoreName");
    const auto relative = named_text(to, *place, "relativePath");
    place->finish();
    if (store && !path)
      path = DataPath{place->given(), in_datastore(*store, relative.value_or(""))};
  }
  if (auto uri = location->take_group("uri")) {
    auto address = uri->take_value("path");
    const auto file = uri->take_value("isFile");
    uri->finish();
    if (address && !is_none(*address) && !path) {
      if (auto text = to.text_of(*address); text && !text->empty()) {
        const bool is_file = file && to.flag_of(*file).value_or(false);
        path = DataPath{std::move(*address), std::move(*text), is_file};
      }
    }
  }
  location->pass({"type"});
  location->finish();
  return path;
}

void translate_input(const Given& name, Translation& to) {
  if (!name.is_mapping()) {
    to.refuse(name, "it takes a dataLocation and a mechanism");
    return;
  }
  Fields fields(to, name);
  std::optional<Given> given_mode;
  const auto mode = mode_of(fields, "mechanism", "direct",
                            {"direct", "mount", "download", "upload"}, given_mode, to);
  const auto path = path_of_location(fields, "dataLocation", to);
  const bool output = mode == "upload";
  if (mode && !path && !output) {
    to.refuse_key(name, "it does not say where the data is",
                  "add a dataLocation with a dataset, a dataPath or a uri");
  }
  const auto entry = mode ? begin_entry(name, output, to) : std::nullopt;
  if (entry && (path || output)) {
    if (path) to.set(*entry / "path", path->given, path->text);
    if (path || !output) {
      set_mode(*entry, name, given_mode, *mode, "data without a mechanism", to);
    }
    if (path && path->file && !output) to.set(*entry / "type", path->given, "file", "isFile");
    set_if_named(*entry / "path_on_compute", fields, "pathOnCompute", to);
    set_if_named(*entry / "environment_variable", fields, "environmentVariableName", to);
    set_overwrite(*entry, fields, output, to);
  }
  fields.pass({"pathOnCompute", "environmentVariableName", "overwrite", "createOutputDirectories",
               "options"});
  fields.finish();
}

void translate_output_options(const NativeKey& entry, Fields& options, Translation& to) {
  set_if_named(entry / "path_on_compute", options, "pathOnCompute", to);
  if (auto upload = options.take_group("uploadOptions")) {
    set_overwrite(entry, *upload, true, to);
    if (auto globs = upload->take_group("sourceGlobs")) {
      const auto patterns = globs->take_value("patterns");
      if (patterns && patterns->is_list() && !patterns->node->items.empty()) {
        to.warn(*patterns, "all files of the output are uploaded, not only those that match");
      }
      globs->finish();
    }
    upload->finish();
  }
  if (auto registration = options.take_group("registrationOptions")) {
    const auto name = registration->take_value("name");
    if (name && !is_none(*name)) to.elsewhere(*name, "no dataset is registered");
    registration->pass({"description", "tags", "properties", "datasetRegistrationOptions"});
    registration->finish();
  }
  options.pass({"mountOptions"});
  options.finish();
}

void translate_output(const Given& name, Translation& to) {
  const auto entry = begin_entry(name, true, to);
  if (!entry || name.is_null()) return;
  if (!name.is_mapping()) {
    to.refuse(name, "it takes an outputLocation and a mechanism");
    return;
  }
  Fields fields(to, name);
  std::optional<Given> given_mode;
  const auto mode =
      mode_of(fields, "mechanism", "mount", {"mount", "upload", "direct"}, given_mode, to);
  const auto path = path_of_location(fields, "outputLocation", to);
  if (path && mode) {
    to.set(*entry / "path", path->given, path->text);
    set_mode(*entry, name, given_mode, *mode, "an output without a mechanism", to);
  }
  if (auto options = fields.take_group("additionalOptions")) {
    translate_output_options(*entry, *options, to);
  }
  set_if_named(*entry / "environment_variable", fields, "environmentVariableName", to);
  fields.finish();
}

}  // namespace

void translate_data(Fields& top, Translation& to) {
  const auto each = [&](std::string_view key, void (*translate)(const Given&, Translation&)) {
    const auto names = top.take_value(key);
    if (!names) return;
    if (!names->is_mapping()) {
      const bool empty = names->is_list() && names->node->items.empty();
      if (!empty) to.refuse(*names, "it takes names with values");
      return;
    }
    for (const Given& name : names->entries()) translate(name, to);
  };
  each("dataReferences", translate_reference);
  each("data", translate_input);
  each("outputData", translate_output);
}

}  // namespace muster::config::v1
