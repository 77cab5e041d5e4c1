// `muster datastores`: which datastores a run would find, and where they are.

#include <cstdio>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/text_table.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/find_datastores.h"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;
using config::Datastore;
using config::DatastoreType;

const char* type_word(DatastoreType type) {
  switch (type) {
    case DatastoreType::kLocal: return "local";
    case DatastoreType::kNfs: return "nfs";
    case DatastoreType::kRclone: return "rclone";
    case DatastoreType::kCommand: return "command";
  }
  return "local";
}

std::string location(const Datastore& store) {
  switch (store.type) {
    case DatastoreType::kLocal: return store.path;
    case DatastoreType::kNfs: return store.server + ":" + store.export_path;
    case DatastoreType::kRclone: return store.remote;
    case DatastoreType::kCommand: return store.source;
  }
  return {};
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

// Beside type and location, what whoever copies to or from it needs: the package muster_azureml.
// Files with credentials are named; what is in them is nobody's to print.
Json datastore_json(const Datastore& store) {
  Json json;
  json["name"] = store.name;
  json["type"] = type_word(store.type);
  json["location"] = location(store);
  if (store.type == DatastoreType::kLocal) json["path"] = store.path;
  if (store.type == DatastoreType::kRclone) {
    json["remote"] = store.remote;
    json["config_file"] = text_or_null(store.config_file);
  }
  json["environment_file"] = text_or_null(store.environment_file);
  return json;
}

std::string datastores_json(const config::Datastores& found) {
  Json json;
  json["file"] = found.file_name.empty()
                     ? Json(nullptr)
                     : Json(std::filesystem::absolute(found.file_name).lexically_normal().string());
  json["default"] = found.default_store ? Json(found.default_store->value) : Json(nullptr);
  json["datastores"] = Json::array();
  for (const Datastore& store : found.stores) json["datastores"].push_back(datastore_json(store));
  json["assets"] = Json::object();
  for (const auto& [name, path] : found.assets) json["assets"][name] = path.value;
  return json.dump(2) + "\n";
}

std::string datastores_text(const config::Datastores& found) {
  TextTable table({{"datastore"}, {"type"}, {"location"}, {""}});
  for (const Datastore& store : found.stores) {
    const bool is_default = found.default_store && found.default_store->value == store.name;
    table.add_row(
        {store.name, type_word(store.type), location(store), is_default ? "default" : ""});
  }
  return found.file_name + "\n" + table.to_string("  ");
}

}  // namespace

CommandResult datastores_command(const CommandLine& line) {
  auto found = load_datastores(find_datastores(line, ".", caller_environment()));
  if (!found) return tl::unexpected<Problems>(std::move(found).error());
  if (line.format == Format::kJson) return print(datastores_json(*found));
  if (found->file_name.empty()) {
    std::fprintf(stderr,
                 "muster: no datastores: there is no datastores.yaml here or in "
                 "~/.config/muster, and --datastores names none\n");
    return 0;
  }
  return print(datastores_text(*found));
}

}  // namespace muster::cli
