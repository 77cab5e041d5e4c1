// Three steps: what stands for something else (assets, locations) is replaced; the form is told by
// its scheme; the path below a datastore is joined to what the datastore is.
#include "launcher/plan/data_place.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/text.h"

namespace muster::plan {
namespace {

namespace fs = std::filesystem;
using config::Datastore;
using config::Datastores;
using config::DatastoreType;
using config::in_quotes;
using config::Parsed;
using config::Unfit;

constexpr int kMostSteps = 8;  // of names that stand for names

using Place = Parsed<DataPlace>;

tl::unexpected<Unfit> unfit(std::string why, std::string hint) {
  return tl::unexpected<Unfit>(Unfit{std::move(why), std::move(hint)});
}

// "s3" of "s3://bucket/x"; "" for a path.
std::string scheme_of(std::string_view text) {
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos) return "";
  std::string scheme(text.substr(0, colon));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return scheme;
}

std::string without_slashes(std::string_view text) {
  while (text.starts_with('/')) text.remove_prefix(1);
  while (text.ends_with('/')) text.remove_suffix(1);
  return std::string(text);
}

// "a/b" below "x/", "x:" or "x": with one slash where one is needed.
std::string below(std::string top, const std::string& path) {
  if (path.empty()) return top;
  if (!top.ends_with('/') && !top.ends_with(':') && !top.empty()) top += '/';
  return top + path;
}

std::string where_to_say(const Datastores& datastores) {
  return datastores.file_name.empty()
             ? "a datastores.yaml beside the config (or name one with --datastores)"
             : datastores.file_name;
}

Place place_in_store(const std::string& name, const std::string& path,
                     const Datastores& datastores) {
  const bool wants_default = name == "default" || name == "${{default_datastore}}";
  const Datastore* store = datastores.find(name);
  if (store == nullptr && wants_default && datastores.default_store) {
    store = datastores.find(datastores.default_store->value);
  }
  if (store == nullptr) {
    std::string hint = did_you_mean_hint(name, datastores.names());
    if (hint.empty()) {
      hint = "say where it is in " + where_to_say(datastores) + ": {datastores: {" + name +
             ": {type: local, path: /srv/" + name + "}}}";
    }
    return unfit("there is no datastore " + in_quotes(name), std::move(hint));
  }
  const std::string inside = fs::path(path).lexically_normal().string();
  if (inside == ".." || inside.starts_with("../")) {
    return unfit(in_quotes(path) + " leaves the datastore " + in_quotes(name),
                 "write a path inside it");
  }
  const std::string plain = inside == "." ? "" : without_slashes(inside);
  DataPlace place;
  place.datastore = store->name;
  place.options = store->options;
  place.environment_file = store->environment_file;
  switch (store->type) {
    case DatastoreType::kLocal:
      place.kind = DataPlace::Kind::kLocal;
      place.path = place.location = below(store->path, plain);
      break;
    case DatastoreType::kNfs:
      place.kind = DataPlace::Kind::kNfs;
      place.location = store->server + ":" + below(store->export_path, plain);
      break;
    case DatastoreType::kRclone:
      place.kind = DataPlace::Kind::kRclone;
      place.location = below(store->remote, plain);
      place.config_file = store->config_file;
      break;
    case DatastoreType::kCommand:
      place.kind = DataPlace::Kind::kCommand;
      place.path = below(store->source, plain);
      place.location = place.path.empty() ? store->name : place.path;
      place.mount = store->mount;
      place.unmount = store->unmount;
      break;
  }
  return place;
}

// azureml://datastores/NAME/paths/p, also behind subscriptions/…/workspaces/W/.
Place place_of_azureml_address(const std::string& text, const Datastores& datastores) {
  const std::string rest = text.substr(text.find("://") + 3);
  const std::vector<std::string> words = split(rest, '/');
  const auto store = std::find(words.begin(), words.end(), "datastores");
  if (store == words.end() || store + 1 == words.end() || (store + 1)->empty()) {
    return unfit("cannot tell which datastore " + in_quotes(text) + " means",
                 "write azureml://datastores/NAME/paths/PATH, or a path that is here");
  }
  std::string path;
  auto word = store + 2;
  if (word != words.end() && *word == "paths") ++word;
  for (; word != words.end(); ++word) path = below(std::move(path), *word);
  return place_in_store(*(store + 1), path, datastores);
}

// A number as such, so that 10 comes after 9; other versions by their place in the file.
std::int64_t version_number(const std::string& version) {
  return parse_integer(version).value_or(-1);
}

// The path that an asset's name stands for: "digits:1", "digits@latest", "digits".
Parsed<const config::Setting<std::string>*> find_asset(const std::string& asset,
                                                       const Datastores& datastores) {
  const auto exact = [&](const std::string& name) -> const config::Setting<std::string>* {
    for (const auto& [key, path] : datastores.assets) {
      if (key == name) return &path;
    }
    return nullptr;
  };
  if (const auto* found = exact(asset)) return found;
  const std::string name = asset.substr(0, asset.find_first_of(":@"));
  if (asset == name || asset == name + "@latest") {
    const config::Setting<std::string>* newest = nullptr;
    std::int64_t version = -1;
    for (const auto& [key, path] : datastores.assets) {
      if (!key.starts_with(name + ":")) continue;
      const std::int64_t its = version_number(key.substr(name.size() + 1));
      if (its < version) continue;
      version = its;
      newest = &path;
    }
    if (newest != nullptr) return newest;
  }
  if (const auto* found = exact(name)) return found;
  std::vector<std::string> known;
  for (const auto& [key, path] : datastores.assets) known.push_back(key);
  std::string hint = did_you_mean_hint(asset, known);
  if (hint.empty()) {
    hint = "say where it is in " + where_to_say(datastores) + ": {assets: {\"" + asset +
           "\": datastore://NAME/PATH}}";
  }
  return unfit("there is no data asset " + in_quotes(asset), std::move(hint));
}

// The longest location that the text begins with.
const std::pair<std::string, config::Setting<std::string>>* find_location(
    const std::string& text, const Datastores& datastores) {
  const std::pair<std::string, config::Setting<std::string>>* best = nullptr;
  for (const auto& each : datastores.locations) {
    std::string start = each.first;
    while (start.ends_with('/')) start.pop_back();
    const bool fits =
        text.starts_with(start) && (text.size() == start.size() || text[start.size()] == '/');
    if (fits && (best == nullptr || best->first.size() < each.first.size())) best = &each;
  }
  return best;
}

Place local_place(const std::string& text, const std::string& directory) {
  DataPlace place;
  place.path = (fs::path(directory) / text).lexically_normal().string();
  if (place.path.size() > 1 && place.path.ends_with('/')) place.path.pop_back();
  place.location = place.path;
  return place;
}

// A web server's files, by rclone's backend for them.
Place web_place(const std::string& text, const Datastores& datastores) {
  if (text.find_first_of("?#'\"") != std::string::npos || text.find('@') != std::string::npos) {
    return unfit("the address " + in_quotes(shown_path(text)) + " holds more than a path",
                 "a signature or a password would be in a command line; make a remote of rclone "
                 "for it, and map the address to it under \"locations\" in " +
                     where_to_say(datastores));
  }
  const std::size_t host = text.find("://") + 3;
  const std::size_t slash = std::min(text.find('/', host), text.size());
  DataPlace place;
  place.kind = DataPlace::Kind::kRclone;
  place.location =
      ":http,url='" + text.substr(0, slash) + "':" + without_slashes(text.substr(slash));
  return place;
}

}  // namespace

Place resolve_place(const std::string& written, const std::string& start_directory,
                    const Datastores& datastores) {
  std::string text = written;
  std::string directory = start_directory;
  for (int step = 0; step < kMostSteps; ++step) {
    if (const auto* location = find_location(text, datastores)) {
      std::string prefix = location->first;
      while (prefix.ends_with('/')) prefix.pop_back();
      text = below(location->second.value, without_slashes(text.substr(prefix.size())));
      directory = datastores.directory;
      continue;
    }
    if (text.starts_with("azureml:") && !text.starts_with("azureml://")) {
      auto asset = find_asset(text.substr(std::string("azureml:").size()), datastores);
      if (!asset) return tl::unexpected<Unfit>(std::move(asset).error());
      text = (*asset)->value;
      directory = datastores.directory;
      continue;
    }
    const std::string scheme = scheme_of(text);
    if (scheme.empty()) {
      if (text.starts_with("file:")) return local_place(text.substr(5), directory);
      return local_place(text, directory);
    }
    const std::string rest = text.substr(text.find("://") + 3);
    if (scheme == "file") return local_place("/" + without_slashes(rest), directory);
    if (scheme == "datastore") {
      const std::size_t slash = std::min(rest.find('/'), rest.size());
      return place_in_store(rest.substr(0, slash), without_slashes(rest.substr(slash)), datastores);
    }
    if (scheme == "azureml") return place_of_azureml_address(text, datastores);
    if (scheme == "http" || scheme == "https") return web_place(text, datastores);
    return unfit("nothing here reads " + in_quotes(scheme + "://"),
                 "say which datastore that is, under \"locations\" in " + where_to_say(datastores) +
                     ": {locations: {\"" +
                     shown_path(text).substr(0, text.find('/', scheme.size() + 3)) +
                     "\": datastore://NAME}}; or use mode: direct, which gives the ranks the "
                     "address as text");
  }
  return unfit(in_quotes(shown_path(written)) + " stands for a path that stands for itself",
               "look at assets and locations in " + where_to_say(datastores));
}

std::string shown_path(const std::string& text) {
  std::string shown = text.substr(0, text.find('?'));
  if (shown.size() < text.size()) shown += "?…";
  const std::size_t scheme = shown.find("://");
  if (scheme == std::string::npos) return shown;
  const std::size_t host = scheme + 3;
  const std::size_t slash = std::min(shown.find('/', host), shown.size());
  const std::size_t at = shown.substr(host, slash - host).rfind('@');
  const std::size_t colon = shown.substr(host, slash - host).find(':');
  // A container stands before the @ of wasbs://container@account; a password after a colon.
  if (at == std::string::npos || colon > at) return shown;
  return shown.substr(0, host) + "…" + shown.substr(host + at);
}

}  // namespace muster::plan
