#include "launcher/config/datastores.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>

#include "base/text.h"
#include "launcher/config/document.h"

namespace muster::config {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<std::string_view, DatastoreType>, 4> kTypes{{
    {"local", DatastoreType::kLocal},
    {"nfs", DatastoreType::kNfs},
    {"rclone", DatastoreType::kRclone},
    {"command", DatastoreType::kCommand},
}};

// What stands in one key of a datastore, and which types know it.
struct Field {
  std::string_view name;
  std::vector<DatastoreType> types;
  bool required;
  bool is_path;  // relative to the file
  std::string Datastore::*text;
  std::vector<std::string> Datastore::*words;
};

const std::vector<Field>& fields() {
  using T = DatastoreType;
  static const std::vector<Field> kFields{
      {"path", {T::kLocal}, true, true, &Datastore::path, nullptr},
      {"server", {T::kNfs}, true, false, &Datastore::server, nullptr},
      {"export", {T::kNfs}, true, false, &Datastore::export_path, nullptr},
      {"remote", {T::kRclone}, true, false, &Datastore::remote, nullptr},
      {"source", {T::kCommand}, false, false, &Datastore::source, nullptr},
      {"mount", {T::kCommand}, true, false, nullptr, &Datastore::mount},
      {"unmount", {T::kCommand}, false, false, nullptr, &Datastore::unmount},
      {"options", {T::kNfs, T::kRclone, T::kCommand}, false, false, nullptr, &Datastore::options},
      {"config_file", {T::kRclone}, false, true, &Datastore::config_file, nullptr},
      {"environment_file",
       {T::kRclone, T::kCommand},
       false,
       true,
       &Datastore::environment_file,
       nullptr},
  };
  return kFields;
}

bool knows(const Field& field, DatastoreType type) {
  return std::find(field.types.begin(), field.types.end(), type) != field.types.end();
}

std::string type_name(DatastoreType type) {
  for (const auto& [name, each] : kTypes) {
    if (each == type) return std::string(name);
  }
  return {};
}

std::vector<std::string> field_names(DatastoreType type) {
  std::vector<std::string> names{"type"};
  for (const Field& field : fields()) {
    if (knows(field, type)) names.emplace_back(field.name);
  }
  return names;
}

class Reader {
 public:
  Reader(const SourceText& source, std::string directory)
      : source_(source), directory_(std::move(directory)) {
    result_.file_name = source.file_name();
    result_.directory = directory_;
  }

  void read(const Node& root);
  tl::expected<Datastores, Problems> finished();

  Problems problems;

 private:
  void refuse(Place place, const std::string& message, std::string hint) {
    problems.push_back(
        Error{ErrorCode::kConfig, message, std::move(hint), source_.location(place)});
  }
  void read_stores(const Entry& entry);
  void read_store(const Entry& entry);
  std::optional<DatastoreType> read_type(const Entry& entry);
  void read_field(const Field& field, const Entry& entry, const std::string& path,
                  Datastore& store);
  std::optional<std::string> text_of(const Entry& entry, const std::string& path);
  std::optional<std::vector<std::string>> words_of(const Entry& entry, const std::string& path);
  void read_texts(const Entry& entry, const char* example,
                  std::vector<std::pair<std::string, Setting<std::string>>>& into);
  void check(const Entry& entry, const Datastore& store);

  const SourceText& source_;
  std::string directory_;
  Datastores result_;
};

void Reader::read(const Node& root) {
  if (root.kind != Node::Kind::kMapping) {
    refuse({1, 1}, source_.file_name() + " is no list of datastores",
           "write \"datastores:\" with a name and its type below it");
    return;
  }
  const std::vector<std::string> known{"datastores", "default", "assets", "locations"};
  for (const Entry& entry : root.entries) {
    if (entry.key == "datastores") {
      read_stores(entry);
    } else if (entry.key == "default") {
      if (auto text = text_of(entry, "default")) {
        result_.default_store =
            Setting<std::string>{std::move(*text), source_.origin(entry.value_place)};
      }
    } else if (entry.key == "assets") {
      read_texts(entry, "{\"digits:1\": datastore://blob/digits}", result_.assets);
    } else if (entry.key == "locations") {
      read_texts(entry, "{\"https://host/container\": datastore://blob}", result_.locations);
    } else {
      std::string hint = did_you_mean_hint(entry.key, known);
      if (hint.empty()) hint = "known keys here: " + join(known, ", ");
      refuse(entry.key_place, "unknown key " + in_quotes(entry.key), std::move(hint));
    }
  }
}

void Reader::read_stores(const Entry& entry) {
  if (entry.value->kind == Node::Kind::kNull) return;
  if (entry.value->kind != Node::Kind::kMapping) {
    refuse(entry.value_place, "datastores: it takes names with what each one is",
           "write for example {blob: {type: local, path: /srv/blob}}");
    return;
  }
  for (const Entry& each : entry.value->entries) read_store(each);
}

std::optional<DatastoreType> Reader::read_type(const Entry& entry) {
  const auto& entries = entry.value->entries;
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [](const Entry& each) { return each.key == "type"; });
  std::vector<std::string> known;
  for (const auto& [name, type] : kTypes) known.emplace_back(name);
  const std::string path = "datastores." + entry.key + ".type";
  if (found == entries.end()) {
    refuse(entry.key_place, path + ": it is missing", "write one of " + join(known, ", "));
    return std::nullopt;
  }
  const auto text = text_of(*found, path);
  if (!text) return std::nullopt;
  for (const auto& [name, type] : kTypes) {
    if (name == *text) return type;
  }
  std::string hint = did_you_mean_hint(*text, known);
  if (hint.empty()) {
    hint = "write one of " + join(known, ", ") +
           "; S3, Azure Blob, GCS, SFTP and WebDAV are remotes of rclone";
  }
  refuse(found->value_place, path + ": " + in_quotes(*text) + " is no type of datastore",
         std::move(hint));
  return std::nullopt;
}

void Reader::read_store(const Entry& entry) {
  if (entry.value->kind != Node::Kind::kMapping) {
    refuse(entry.value_place, "datastores." + printable(entry.key) + ": it takes keys with values",
           "write for example {type: local, path: /srv/blob}");
    return;
  }
  Datastore store;
  store.name = entry.key;
  store.origin = source_.origin(entry.key_place);
  const auto type = read_type(entry);
  if (!type) return;
  store.type = *type;
  for (const Entry& each : entry.value->entries) {
    if (each.key == "type") continue;
    const std::string path = "datastores." + entry.key + "." + each.key;
    const auto field = std::find_if(fields().begin(), fields().end(), [&](const Field& known) {
      return known.name == each.key && knows(known, *type);
    });
    if (field == fields().end()) {
      const std::vector<std::string> known = field_names(*type);
      std::string hint = did_you_mean_hint(each.key, known);
      if (hint.empty()) hint = "known keys here: " + join(known, ", ");
      refuse(each.key_place,
             "unknown key " + in_quotes(each.key) + " in the datastore " + in_quotes(entry.key) +
                 " of type " + type_name(*type),
             std::move(hint));
      continue;
    }
    read_field(*field, each, path, store);
  }
  check(entry, store);
  result_.stores.push_back(std::move(store));
}

void Reader::read_field(const Field& field, const Entry& entry, const std::string& path,
                        Datastore& store) {
  if (field.text != nullptr) {
    auto text = text_of(entry, path);
    if (!text) return;
    if (const Unfit unfit = check_for_secret(*text); !unfit.why.empty()) {
      refuse(entry.value_place, path + ": " + unfit.why, unfit.hint);
      return;
    }
    if (field.is_path) *text = (fs::path(directory_) / *text).lexically_normal().string();
    store.*field.text = std::move(*text);
    return;
  }
  auto words = words_of(entry, path);
  if (!words) return;
  for (const std::string& word : *words) {
    if (const Unfit unfit = check_for_secret(word); !unfit.why.empty()) {
      refuse(entry.value_place, path + ": " + unfit.why, unfit.hint);
      return;
    }
  }
  store.*field.words = std::move(*words);
}

std::optional<std::string> Reader::text_of(const Entry& entry, const std::string& path) {
  if (entry.value->kind == Node::Kind::kScalar && !entry.value->text.empty()) {
    return entry.value->text;
  }
  refuse(entry.value_place, printable(path) + ": it takes one value", "write a text");
  return std::nullopt;
}

std::optional<std::vector<std::string>> Reader::words_of(const Entry& entry,
                                                         const std::string& path) {
  std::vector<std::string> words;
  if (entry.value->kind == Node::Kind::kNull) return words;
  if (entry.value->kind == Node::Kind::kScalar) {
    for (std::string& word : split(entry.value->text, ' ')) {
      if (!word.empty()) words.push_back(std::move(word));
    }
    return words;
  }
  for (const NodePtr& item : entry.value->items) {
    if (item->kind == Node::Kind::kScalar) words.push_back(item->text);
  }
  if (entry.value->kind == Node::Kind::kList && words.size() == entry.value->items.size()) {
    return words;
  }
  refuse(entry.value_place, printable(path) + ": it takes a list of words",
         "write for example [--vfs-read-ahead, 64M]");
  return std::nullopt;
}

void Reader::read_texts(const Entry& entry, const char* example,
                        std::vector<std::pair<std::string, Setting<std::string>>>& into) {
  if (entry.value->kind == Node::Kind::kNull) return;
  if (entry.value->kind != Node::Kind::kMapping) {
    refuse(entry.value_place, entry.key + ": it takes names with the paths that they stand for",
           std::string("write for example ") + example);
    return;
  }
  for (const Entry& each : entry.value->entries) {
    if (auto text = text_of(each, entry.key + "." + each.key)) {
      into.emplace_back(each.key,
                        Setting<std::string>{std::move(*text), source_.origin(each.value_place)});
    }
  }
}

void Reader::check(const Entry& entry, const Datastore& store) {
  for (const Field& field : fields()) {
    if (!field.required || !knows(field, store.type)) continue;
    const bool given = std::any_of(entry.value->entries.begin(), entry.value->entries.end(),
                                   [&](const Entry& each) { return each.key == field.name; });
    if (given) continue;
    refuse(entry.key_place,
           "datastores." + printable(entry.key) + "." + std::string(field.name) + ": it is missing",
           "a datastore of type " + type_name(store.type) + " needs it");
  }
  const auto has_target = [](const std::string& word) {
    return word.find("{target}") != std::string::npos;
  };
  if (store.type == DatastoreType::kCommand && !store.mount.empty() &&
      std::none_of(store.mount.begin(), store.mount.end(), has_target)) {
    refuse(entry.key_place,
           "datastores." + printable(entry.key) + ".mount: no word says where to mount",
           "write {target} where the mount point belongs, and {source} for what is mounted");
  }
  if (store.type == DatastoreType::kRclone && !store.remote.empty() &&
      store.remote.find(':') == std::string::npos) {
    refuse(entry.key_place,
           "datastores." + printable(entry.key) + ".remote: " + in_quotes(store.remote) +
               " names no remote",
           "write \"remote:bucket/prefix\"; `rclone listremotes` shows those that there are");
  }
}

tl::expected<Datastores, Problems> Reader::finished() {
  const auto& chosen = result_.default_store;
  if (chosen && problems.empty() && result_.find(chosen->value) == nullptr) {
    std::string hint = did_you_mean_hint(chosen->value, result_.names());
    if (hint.empty()) hint = "name one of: " + join(result_.names(), ", ");
    problems.push_back(problem_at(chosen->origin, "default",
                                  "there is no datastore " + in_quotes(chosen->value),
                                  std::move(hint)));
  }
  if (problems.empty()) return std::move(result_);
  sort_and_limit(problems);
  return tl::unexpected<Problems>(std::move(problems));
}

// "--sftp-pass", "secret_access_key", "account-key", "sas_url"
bool names_a_secret(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    plain += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  plain.erase(0, plain.find_first_not_of('-'));
  if (plain.ends_with("-file") || plain.ends_with("-path")) return false;
  for (const std::string_view word :
       {"secret", "password", "passwd", "passphrase", "passcode", "token", "sas-url", "signature",
        "key-pem", "customer-key", "access-grant", "connection-string", "authorization"}) {
    if (plain.find(word) != std::string::npos) return true;
  }
  // "credentials" alone is mount.cifs's name of a file.
  for (const std::string_view end : {"-pass", "-key", "-credentials", "-cookie"}) {
    if (plain.ends_with(end)) return true;
  }
  for (const std::string_view whole :
       {"pass", "key", "sig", "accountkey", "apikey", "cookie", "set-cookie"}) {
    if (plain == whole) return true;
  }
  return false;
}

// What Muster itself puts in its place; it expands nothing else.
bool is_placeholder(std::string_view value) {
  for (const std::string_view known : {"{source}", "{target}", "{options}", "{access}"}) {
    if (value == known) return true;
  }
  return false;
}

// The name in "Authorization: Basic X", "X-Api-Key: X": a header of HTTP; rclone's lists of headers
// have a comma in place of the colon.
std::string_view secret_header(std::string_view word) {
  constexpr std::string_view kSurely = "authorization";
  std::string plain;
  for (const char c : word) {
    plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  const std::size_t found = plain.find(kSurely);
  if (found != std::string::npos) {
    const std::string_view rest = word.substr(found + kSurely.size());
    if (rest.starts_with(':') || rest.starts_with(',')) return word.substr(found, kSurely.size());
  }
  const std::size_t end = plain.find(": ");
  if (end == std::string::npos) return {};
  const std::size_t start = plain.find_last_of("=,'\" ", end) + 1;  // npos + 1 is 0
  if (start > end || !names_a_secret(plain.substr(start, end - start))) return {};
  return word.substr(start, end - start);
}

// "https://user:word@host/…", "//user:word@host/share", "user:word@host:/export"
bool has_password_in_address(std::string_view text) {
  const std::size_t slashes = text.find("//");
  const bool bare = slashes == std::string_view::npos;
  const std::string_view rest = bare ? text : text.substr(slashes + 2);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  const std::size_t at = authority.rfind('@');
  if (at == std::string_view::npos || authority.substr(0, at).find(':') == std::string_view::npos) {
    return false;
  }
  // "remote:me@there" is a path in a remote of rclone.
  return !bare || authority.find(':', at) != std::string_view::npos;
}

}  // namespace

const Datastore* Datastores::find(std::string_view name) const {
  const auto found = std::find_if(stores.begin(), stores.end(),
                                  [&](const Datastore& store) { return store.name == name; });
  return found == stores.end() ? nullptr : &*found;
}

std::vector<std::string> Datastores::names() const {
  std::vector<std::string> all;
  for (const Datastore& store : stores) all.push_back(store.name);
  return all;
}

tl::expected<Datastores, Problems> read_datastores(std::string_view text,
                                                   const std::string& file_name,
                                                   const std::string& directory) {
  const SourceText source(text, file_name);
  Document document = read_document(source);
  Reader reader(source, directory);
  reader.problems = std::move(document.problems);
  if (document.root != nullptr && document.root->kind != Node::Kind::kNull) {
    reader.read(*document.root);
  }
  return reader.finished();
}

Unfit check_for_secret(std::string_view word) {
  const std::string instead =
      "keep it in the file that config_file or environment_file names, mode 0600: a command line "
      "can be read by everybody on the machine";
  if (has_password_in_address(word)) return {"it holds a password in an address", instead};
  if (const std::string_view header = secret_header(word); !header.empty()) {
    return {"it holds a credential (" + printable(header) + ": …)", instead};
  }
  // "a=b", "--a=b", ":s3,a=b,c=d:bucket", "url?a=b&c=d"
  std::size_t start = 0;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const char c = word[i];
    if (c == ',' || c == '?' || c == '&' || c == ';' || c == ' ') start = i + 1;
    if (c != '=') continue;
    const std::string_view name = word.substr(start, i - start);
    const std::string_view value = word.substr(i + 1);
    const bool empty = value.empty() || value.front() == ',' || value.front() == '&';
    if (!empty && !is_placeholder(value) && names_a_secret(name)) {
      return {"it holds a credential (" + printable(name) + "=…)", instead};
    }
    start = i + 1;
  }
  // "--sftp-pass" with its value in the next word.
  if (word.starts_with("--") && word.find('=') == std::string_view::npos && names_a_secret(word)) {
    return {"it gives a credential (" + printable(word) + ")", instead};
  }
  return {};
}

}  // namespace muster::config
