// Reads a YAML text with yaml-cpp's event interface.
//
// The events are used, rather than YAML::Node, because they keep what a good message needs and Node
// drops: the place of keys, of aliases and of repeated keys, and whether a scalar was quoted.  Some
// inputs that yaml-cpp lets pass are refused here: control characters (it takes byte 4 for the end
// of the file), quotes that are never closed, a node that contains itself, tags of other programs.
// Merge keys ("<<: *base") are resolved here, so that nobody else knows of them.

#include "launcher/config/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "base/text.h"
#include "launcher/config/hide_secrets.h"

namespace muster::config {
namespace {

constexpr std::size_t kMostBytes = std::size_t{4} << 20U;  // 4 MiB
constexpr std::size_t kMostNodes = 100'000;
constexpr std::size_t kMostDepth = 64;
constexpr std::size_t kLongestShownLine = 1000;  // a longer one is no help in a message

Place place_of(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

bool same_line(Place a, Place b) {
  return a.line == b.line;
}

const char* kind_name(Node::Kind kind) {
  return kind == Node::Kind::kList ? "a list" : "a mapping";
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const SourceText& source, Problems& problems)
      : source_(source), problems_(problems) {}

  NodePtr root() const { return root_; }

  // Where the innermost list or mapping that is not complete yet begins.
  std::optional<Place> innermost_open() const {
    if (open_.empty()) return std::nullopt;
    return place_of(open_.back().mark);
  }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    finish(mark, anchor, Node{});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw YAML::ParserException(mark, "an alias to what contains it");
    count_node(mark);
    add(mark, found->second, false);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    check_quotes(mark);
    if (value.find('\0') != std::string::npos) {
      problems_.push_back(Error{ErrorCode::kConfig,
                                "this text contains a NUL, which no argument or variable can hold",
                                "leave the \\0 out", source_.location(place_of(mark))});
    }
    plain_ = tag == "?";
    Node node{Node::Kind::kScalar, value};
    node.plain = plain_;
    finish(mark, anchor, std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Node::Kind::kList);
  }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, tag, anchor, Node::Kind::kMapping);
  }

  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Key {
    std::string text;
    Place place;
    bool usable = true;  // false: reported; its value is read and dropped
    bool merge = false;  // <<
  };

  struct Open {
    YAML::Mark mark;
    YAML::anchor_t anchor;
    Node node;
    std::optional<Key> key = {};  // read, its value not yet
    std::map<std::string, Place> key_places = {};
    std::vector<Entry> merged = {};
  };

  void count_node(const YAML::Mark& mark) {
    if (++node_count_ > kMostNodes) {
      throw YAML::ParserException(mark, "more than " + std::to_string(kMostNodes) + " values");
    }
  }

  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    const bool standard =
        tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,");
    if (!standard)
      throw YAML::ParserException(mark, "the tag " + in_quotes(tag) + " is not supported");
  }

  // yaml-cpp reads an open quote to the end of the file and calls that a scalar.
  void check_quotes(const YAML::Mark& mark) const {
    const std::string_view text = source_.text();
    auto at = static_cast<std::size_t>(mark.pos);
    while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
      at = std::min(text.find_first_of(" \t\r\n", at), text.size());
      at = std::min(text.find_first_not_of(" \t\r\n", at), text.size());
    }
    if (at >= text.size() || (text[at] != '"' && text[at] != '\'')) return;
    const char quote = text[at];
    for (++at; at < text.size(); ++at) {
      if (quote == '"' && text[at] == '\\') {
        ++at;
      } else if (text[at] == quote) {
        return;  // the first half of a doubled '' ends it as well as any
      }
    }
    throw YAML::ParserException(mark, "the quote that opens here is never closed");
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            Node::Kind kind) {
    check_tag(mark, tag);
    count_node(mark);
    if (open_.size() >= kMostDepth) {
      throw YAML::ParserException(mark,
                                  "nested deeper than " + std::to_string(kMostDepth) + " levels");
    }
    open_.push_back(Open{mark, anchor, Node{kind}});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    for (Entry& entry : done.merged) {
      if (done.key_places.emplace(entry.key, entry.key_place).second) {
        count_node(done.mark);
        done.node.entries.push_back(std::move(entry));
      }
    }
    plain_ = false;
    add(done.mark, remember(done.anchor, std::move(done.node)), false);
  }

  void finish(const YAML::Mark& mark, YAML::anchor_t anchor, Node node) {
    count_node(mark);
    add(mark, remember(anchor, std::move(node)), std::exchange(plain_, false));
  }

  NodePtr remember(YAML::anchor_t anchor, Node node) {
    auto shared = std::make_shared<const Node>(std::move(node));
    if (anchor != YAML::NullAnchor) anchors_[anchor] = shared;
    return shared;
  }

  void add(const YAML::Mark& mark, NodePtr node, bool plain) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == Node::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      parent.key = make_key(parent, place_of(mark), *node, plain);
    } else {
      add_entry(parent, mark, std::move(node));
      parent.key.reset();
    }
  }

  Key make_key(Open& parent, Place place, const Node& node, bool plain) {
    if (node.kind == Node::Kind::kNull) return refuse_key(place, "a key is missing before \":\"");
    if (node.kind != Node::Kind::kScalar) {
      return refuse_key(place, std::string("a key must be one word, not ") + kind_name(node.kind));
    }
    const auto [first, is_new] = parent.key_places.emplace(node.text, place);
    if (!is_new) {
      return refuse_key(place,
                        "duplicate key " + in_quotes(node.text) + ": it is already on line " +
                            std::to_string(first->second.line),
                        "keep one of the two");
    }
    return Key{node.text, place, true, plain && node.text == "<<"};
  }

  Key refuse_key(Place place, std::string message, std::string hint = "write \"key: value\"") {
    problems_.push_back(
        Error{ErrorCode::kConfig, std::move(message), std::move(hint), source_.location(place)});
    return Key{"", place, false, false};
  }

  void add_entry(Open& parent, const YAML::Mark& mark, NodePtr node) {
    Key& key = *parent.key;
    if (!key.usable) return;
    if (key.merge) {
      merge(parent, key.place, *node);
      return;
    }
    // The mark of "key:" without a value is that of whatever comes next.
    const bool nothing = node->kind == Node::Kind::kNull && !same_line(place_of(mark), key.place);
    parent.node.entries.push_back(Entry{std::move(key.text),
                                        key.place,
                                        nothing ? key.place : place_of(mark),
                                        std::move(node),
                                        {},
                                        {}});
  }

  void merge(Open& parent, Place place, const Node& node) {
    std::vector<const Node*> sources;
    if (node.kind == Node::Kind::kMapping) sources.push_back(&node);
    for (const NodePtr& item : node.items) sources.push_back(item.get());
    const bool mappings = std::all_of(sources.begin(), sources.end(), [](const Node* each) {
      return each->kind == Node::Kind::kMapping;
    });
    if (sources.empty() || !mappings) {
      refuse_key(place, "\"<<\" merges mappings, and its value is not one",
                 "write \"<<: *name\" where &name marks a mapping");
      return;
    }
    std::set<std::string> known;
    for (const Entry& entry : parent.merged) known.insert(entry.key);
    for (const Node* each : sources) {
      for (const Entry& entry : each->entries) {
        if (known.insert(entry.key).second) parent.merged.push_back(entry);
      }
    }
  }

  const SourceText& source_;
  Problems& problems_;
  NodePtr root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, NodePtr> anchors_;  // complete nodes only, so no node contains itself
  std::size_t node_count_ = 0;
  bool plain_ = false;  // the scalar at hand had no quotes
};

// What to do about yaml-cpp's messages, which name a grammar rule.
std::string syntax_hint(const SourceText& source, const YAML::Exception& error) {
  const std::string_view line = source.line(error.mark.line + 1);
  const std::string_view indentation = line.substr(0, line.find_first_not_of(" \t"));
  if (indentation.find('\t') != std::string_view::npos) {
    return "indent with spaces; YAML allows no tab there";
  }
  constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kHints{{
      {"end of sequence flow not found", "close the list with ]"},
      {"end of map flow not found", "close the mapping with }"},
      {"illegal map value",
       "look at the indentation of this line and the one above, and put a value that contains "
       "\": \" in quotes"},
      {"end of map not found", "indent this line like the other keys of its group"},
      {"unknown token", "put the value in quotes"},
      {"invalid unicode", "write the character itself, in UTF-8, for its two \\u escapes"},
      {"never closed", "add the closing quote"},
      {"not defined", "define it before its use, with &name"},
      {"more than", "is it the file that you meant?"},
      {"nested deeper", "is it the file that you meant?"},
      {"the tag", "write the value without a tag"},
  }};
  for (const auto& [part, hint] : kHints) {
    if (error.msg.find(part) != std::string::npos) return std::string(hint);
  }
  return "look at the indentation and the quotes of this line and the one above";
}

Error syntax_error(const SourceText& source, const YAML::Exception& error,
                   std::optional<Place> innermost_open) {
  Error problem{ErrorCode::kConfig,
                "cannot read " + source.file_name() + " as YAML: " + on_one_line(error.msg)};
  problem.hint = syntax_hint(source, error);
  // A bracket that is missing is noticed lines later; where the other one stands helps more.
  const bool bracket = innermost_open && error.msg.find("flow not found") != std::string::npos;
  problem.location = source.location(bracket ? *innermost_open : place_of(error.mark));
  return problem;
}

std::optional<Error> refuse_text(const SourceText& source) {
  const std::string_view text = source.text();
  const std::string& name = source.file_name();
  if (text.size() > kMostBytes) {
    return Error{ErrorCode::kConfig,
                 name + " has " + std::to_string(text.size()) +
                     " bytes, more than the 4 MiB that a run config may have",
                 "is it the file that you meant?", Location{name, 0, 0, ""}};
  }
  const auto bad = std::find_if(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
  });
  if (bad == text.end()) return std::nullopt;
  const std::string_view before = text.substr(0, static_cast<std::size_t>(bad - text.begin()));
  const auto line = static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1;
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return Error{
      ErrorCode::kConfig,
      *bad == '\0' ? name + " contains a NUL byte" : name + " contains a control character",
      "save it as UTF-8 text",
      Location{name, line, static_cast<int>(before.size() - line_start) + 1, ""}};
}

}  // namespace

SourceText::SourceText(std::string_view text, std::string file_name)
    : text_(text), file_name_(std::move(file_name)) {
  if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);  // byte order mark
  for (std::string_view rest = text_; !rest.empty();) {
    const std::size_t length = std::min(rest.find('\n'), rest.size());
    std::string_view one = rest.substr(0, length);
    if (one.ends_with('\r')) one.remove_suffix(1);
    lines_.push_back(one);
    rest.remove_prefix(std::min(length + 1, rest.size()));
  }
  int number = 1;
  std::size_t counted = 0;
  const auto count_to = [&](std::size_t at) {
    const std::string_view more = text_.substr(counted, at - counted);
    number += static_cast<int>(std::count(more.begin(), more.end(), '\n'));
    counted = at;
  };
  for (const SecretValue& secret : secret_values(text_)) {
    count_to(secret.begin);
    const int first = number;
    count_to(secret.end);
    for (int each = first; each <= number; ++each) secret_lines_.push_back(each);
  }
}

std::string_view SourceText::line(int number) const {
  const auto index = static_cast<std::size_t>(number) - 1;
  return number > 0 && index < lines_.size() ? lines_[index] : std::string_view();
}

Location SourceText::location(Place place) const {
  const std::string_view shown = line(place.line);
  const bool hidden = shown.size() > kLongestShownLine || may_show_secret(shown) ||
                      std::binary_search(secret_lines_.begin(), secret_lines_.end(), place.line);
  return {file_name_, place.line, place.column, hidden ? "" : without_controls(shown)};
}

Origin SourceText::origin(Place place) const {
  return {Origin::Kind::kFile,
          file_name_ + ":" + std::to_string(place.line) + ":" + std::to_string(place.column),
          location(place)};
}

Origin SourceText::origin(const Entry& entry) const {
  const std::string& note = entry.value->note;
  if (entry.value_place.line == 0) {
    return {Origin::Kind::kDerived, "derived: " + note, std::nullopt};
  }
  Origin origin = (entry.source ? *entry.source : *this).origin(entry.value_place);
  if (!note.empty()) origin.text += " (" + note + ")";
  return origin;
}

Document read_document(const SourceText& source) {
  Document document;
  if (auto refused = refuse_text(source)) {
    document.problems.push_back(std::move(*refused));
    return document;
  }
  TreeBuilder builder(source, document.problems);
  try {
    std::istringstream stream{std::string(source.text())};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    document.root = builder.root();
    if (parser.HandleNextDocument(builder)) {
      document.problems.push_back(
          {ErrorCode::kConfig, source.file_name() + " holds more than one YAML document",
           "keep one; \"---\" begins the next", Location{source.file_name(), 0, 0, ""}});
    }
  } catch (const YAML::Exception& error) {
    document.root = nullptr;
    document.problems.push_back(syntax_error(source, error, builder.innermost_open()));
  } catch (const std::exception& error) {
    document.root = nullptr;
    document.problems.push_back(
        {ErrorCode::kConfig,
         "cannot read " + source.file_name() + " as YAML: " + on_one_line(error.what()),
         "is it the file that you meant?", Location{source.file_name(), 0, 0, ""}});
  }
  return document;
}

}  // namespace muster::config
