#include "launcher/config/dialects/translation.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "launcher/config/dialects/dialect.h"
#include "launcher/config/dialects/words.h"
#include "launcher/config/values.h"

namespace muster::config {
namespace {

std::string below(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

Node scalar(std::string text) {
  Node node;
  node.kind = Node::Kind::kScalar;
  node.text = std::move(text);
  return node;
}

// A file beside the config, and its text, which its SourceText only looks at.
struct BesideFile {
  BesideFile(std::string bytes, const std::string& name)
      : text(std::move(bytes)), source(text, name) {}
  std::string text;
  SourceText source;
};

// "conf/.azureml/train.runconfig" and "environment.yml" make "conf/.azureml/environment.yml".
std::string name_beside(const std::string& config_file, const std::string& path) {
  if (path.starts_with('/')) return path;
  const std::size_t slash = config_file.rfind('/');
  return slash == std::string::npos ? path : config_file.substr(0, slash + 1) + path;
}

}  // namespace

std::vector<Given> Given::items() const {
  std::vector<Given> items;
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    const std::string index = "[" + std::to_string(i) + "]";
    items.push_back({node->items[i], path + index, key + index, key_place, value_place, source});
  }
  return items;
}

std::vector<Given> Given::entries() const {
  std::vector<Given> entries;
  for (const Entry& entry : node->entries) {
    entries.push_back({entry.value, below(path, entry.key), entry.key, entry.key_place,
                       entry.value_place, source});
  }
  return entries;
}

NativeKey::NativeKey(const char* dotted) : words(split(dotted, '.')) {}

NativeKey NativeKey::operator/(std::string word) const {
  NativeKey longer = *this;
  longer.words.push_back(std::move(word));
  return longer;
}

// A native tree while it grows: a group of others, or a value.
struct Translation::Branch {
  Entry entry;
  std::vector<NodePtr> items;  // of a list
  std::vector<std::unique_ptr<Branch>> children;
  std::map<std::string, Branch*> by_word;

  Branch* child(const std::string& word) const {
    const auto found = by_word.find(word);
    return found == by_word.end() ? nullptr : found->second;
  }

  Branch& add(const std::string& word) {
    children.push_back(std::make_unique<Branch>());
    Branch& added = *children.back();
    added.entry.key = word;
    added.entry.value = std::make_shared<const Node>();
    by_word[word] = &added;
    return added;
  }

  void clear() {
    items.clear();
    children.clear();
    by_word.clear();
  }

  Entry made() const {
    if (children.empty() && items.empty()) return entry;
    Entry group = entry;
    Node node;
    node.kind = items.empty() ? Node::Kind::kMapping : Node::Kind::kList;
    node.items = items;
    for (const auto& each : children) node.entries.push_back(each->made());
    group.value = std::make_shared<const Node>(std::move(node));
    return group;
  }
};

Translation::Translation(const SourceText& source, std::string config_directory,
                         ReadBeside read_beside)
    : source_(source),
      config_directory_(std::move(config_directory)),
      read_beside_(std::move(read_beside)),
      root_(std::make_unique<Branch>()) {}

Translation::~Translation() = default;

Given Translation::whole(NodePtr root) const {
  return {std::move(root), "", ""};
}

const std::string& Translation::paths_from() const {
  return paths_from_.empty() ? config_directory_ : paths_from_;
}

Translation::Branch& Translation::branch(const NativeKey& key) {
  Branch* at = root_.get();
  for (const std::string& word : key.words) {
    Branch* next = at->child(word);
    at = next == nullptr ? &at->add(word) : next;
  }
  return *at;
}

void Translation::put(const NativeKey& key, const Given& from, NodePtr node) {
  NativeKey group = key;
  group.words.pop_back();
  place(group, from, false);
  Branch& leaf = branch(key);
  leaf.clear();
  leaf.entry.value = std::move(node);
  place(key, from, true);
}

// Groups on the way stand where the first of their values does, unless begin() said where.
void Translation::place(const NativeKey& key, const Given& from, bool replace) {
  Branch* at = root_.get();
  for (std::size_t i = 0; i < key.words.size(); ++i) {
    Branch* next = at->child(key.words[i]);
    at = next == nullptr ? &at->add(key.words[i]) : next;
    if (at->entry.key_place.line != 0 && !(replace && i + 1 == key.words.size())) continue;
    at->entry.key_place = from.key_place;
    at->entry.value_place = from.value_place;
    at->entry.written_as = from.path;
    at->entry.source = from.source;
  }
}

void Translation::begin(const NativeKey& key, const Given& from) {
  place(key, from, true);
}

void Translation::set(const NativeKey& key, const Given& from) {
  put(key, from, from.node);
}

void Translation::set(const NativeKey& key, const Given& from, std::string text, std::string note) {
  Node node = scalar(std::move(text));
  node.note = on_one_line(note);
  put(key, from, std::make_shared<const Node>(std::move(node)));
}

void Translation::set_node(const NativeKey& key, const Given& from, Node node) {
  put(key, from, std::make_shared<const Node>(std::move(node)));
}

void Translation::derive(const NativeKey& key, std::string text, std::string why) {
  Node node = scalar(std::move(text));
  node.note = on_one_line(why);
  Branch& leaf = branch(key);
  leaf.clear();
  leaf.entry =
      Entry{key.words.back(), {}, {}, std::make_shared<const Node>(std::move(node)), {}, {}};
}

void Translation::append(const NativeKey& key, const Given& from, std::string text) {
  if (!has(key)) put(key, from, std::make_shared<const Node>(Node{Node::Kind::kList}));
  branch(key).items.push_back(std::make_shared<const Node>(scalar(std::move(text))));
}

bool Translation::has(const NativeKey& key) const {
  const Branch* at = root_.get();
  for (const std::string& word : key.words) {
    at = at->child(word);
    if (at == nullptr) return false;
  }
  return true;
}

Origin Translation::origin_of(const Given& at) const {
  return (at.source ? *at.source : source_).origin(at.value_place);
}

void Translation::ignored(const Given& at) {
  const Origin origin = (at.source ? *at.source : source_).origin(at.key_place);
  remarks_.emplace_back(at.key_place,
                        Remark{Remark::Kind::kIgnored, printable(at.path) + ": not known", origin});
}

void Translation::elsewhere(const Given& at, std::string text) {
  remarks_.emplace_back(at.key_place, Remark{Remark::Kind::kElsewhere,
                                             printable(at.path) + ": " + text, origin_of(at)});
}

void Translation::warn(const Given& at, std::string text) {
  remarks_.emplace_back(at.key_place, Remark{Remark::Kind::kWarning,
                                             printable(at.path) + ": " + text, origin_of(at)});
}

void Translation::refuse(const Given& at, std::string_view why, std::string hint) {
  problems_.push_back(problem_at(origin_of(at), name_of(at), why, std::move(hint)));
}

void Translation::refuse_key(const Given& at, std::string_view why, std::string hint) {
  const Origin origin = (at.source ? *at.source : source_).origin(at.key_place);
  problems_.push_back(problem_at(origin, name_of(at), why, std::move(hint)));
}

const std::string& Translation::name_of(const Given& at) const {
  return at.path.empty() ? source_.file_name() : at.path;
}

std::optional<std::string> Translation::text_of(const Given& value) {
  if (value.is_scalar()) return value.text();
  if (!value.is_null()) {
    refuse(value, value.is_list() ? "it takes one value, not a list"
                                  : "it takes one value, not a mapping");
  }
  return std::nullopt;
}

std::optional<int> Translation::count_of(const Given& value, int least) {
  const auto text = text_of(value);
  if (!text) return std::nullopt;
  auto count = parse_count(*text, least);
  if (count) return *count;
  refuse(value, count.error().why, "write a whole number, " + std::to_string(least) + " or more");
  return std::nullopt;
}

std::optional<bool> Translation::flag_of(const Given& value) {
  const auto text = text_of(value);
  if (!text) return std::nullopt;
  const std::string word = lower(*text);
  if (word == "true" || word == "yes" || word == "on" || word == "1") return true;
  if (word == "false" || word == "no" || word == "off" || word == "0") return false;
  refuse(value, in_quotes(*text) + " is neither true nor false", "write true or false");
  return std::nullopt;
}

Result<std::string> Translation::read_beside(const std::string& path) const {
  if (!read_beside_) return fail(ErrorCode::kConfig, "no file can be read here");
  return read_beside_(path);
}

std::optional<Given> Translation::mapping_beside(const Given& named, const std::string& path) {
  auto text = read_beside(path);
  if (!text) {
    refuse(named, printable(path) + " cannot be read: " + on_one_line(text.error().message),
           text.error().hint);
    return std::nullopt;
  }
  auto file = std::make_shared<const BesideFile>(
      std::move(*text), on_one_line(name_beside(source_.file_name(), path)));
  std::shared_ptr<const SourceText> source(file, &file->source);
  Document document = read_document(*source);
  for (Error& problem : document.problems) problems_.push_back(std::move(problem));
  if (document.root == nullptr) {
    if (document.problems.empty()) refuse(named, printable(path) + " is empty");
    return std::nullopt;
  }
  if (document.root->kind != Node::Kind::kMapping) {
    refuse(named, printable(path) + " does not hold keys with values");
    return std::nullopt;
  }
  Given whole{document.root, named.path, named.key};
  whole.source = std::move(source);
  return whole;
}

NodePtr Translation::native() const {
  Node empty;
  empty.kind = Node::Kind::kMapping;
  if (root_->children.empty()) return std::make_shared<const Node>(std::move(empty));
  return root_->made().value;
}

std::vector<Remark> Translation::take_remarks() {
  std::stable_sort(remarks_.begin(), remarks_.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.line, a.first.column) < std::pair(b.first.line, b.first.column);
  });
  std::vector<Remark> remarks;
  for (auto& [place, remark] : remarks_) remarks.push_back(std::move(remark));
  return remarks;
}

Fields::Fields(Translation& to, const Given& mapping) : to_(&to), mapping_(mapping) {
  for (Given& given : mapping.entries()) {
    const auto [before, is_new] = by_name_.emplace(spelling_free(given.key), fields_.size());
    if (!is_new) {
      const Given& first = fields_[before->second].given;
      to.refuse_key(given,
                    "it is the same key as " + in_quotes(first.key) + " on line " +
                        std::to_string(first.key_place.line),
                    "keep one of the two");
      continue;
    }
    fields_.push_back({std::move(given)});
  }
}

Fields::Field* Fields::find(std::string_view name) {
  const auto found = by_name_.find(spelling_free(name));
  return found == by_name_.end() ? nullptr : &fields_[found->second];
}

std::optional<Given> Fields::take(std::string_view name) {
  Field* field = find(spelling_free(name));
  if (field == nullptr) return std::nullopt;
  field->taken = true;
  return field->given;
}

std::optional<Given> Fields::take_value(std::string_view name) {
  auto given = take(name);
  return given && !given->is_null() ? given : std::nullopt;
}

std::optional<Fields> Fields::take_group(std::string_view name) {
  auto given = take_value(name);
  if (!given) return std::nullopt;
  if (given->is_mapping()) return Fields(*to_, *given);
  to_->refuse(*given, "it is a group of keys");
  return std::nullopt;
}

bool Fields::has(std::string_view name) const {
  return by_name_.contains(spelling_free(name));
}

void Fields::pass(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) take(name);
}

void Fields::finish() {
  for (Field& field : fields_) {
    if (!std::exchange(field.taken, true)) to_->ignored(field.given);
  }
}

}  // namespace muster::config
