// A YAML text as a tree whose nodes know their place.  yaml-cpp is known to document.cc alone.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/config/problems.h"

namespace muster::config {

struct Place {
  int line = 0;    // from 1
  int column = 0;  // from 1, in bytes
};

struct Node;
class SourceText;
using NodePtr = std::shared_ptr<const Node>;  // an alias shares the node of its anchor

struct Entry {
  std::string key;
  Place key_place;
  Place value_place;  // line 0: nobody wrote it, and the value's note says where it is from
  NodePtr value;
  std::string written_as = {};  // the key in the file's dialect, "mpi.processCountPerNode"; or ""
  std::shared_ptr<const SourceText> source = {};  // null: the config itself
};

struct Node {
  enum class Kind { kNull, kScalar, kList, kMapping };

  Kind kind = Kind::kNull;
  std::string text = {};            // kScalar: as written, without its quotes
  std::vector<NodePtr> items = {};  // kList
  std::vector<Entry> entries = {};  // kMapping: in file order, each key once
  bool plain = false;               // kScalar: without quotes
  std::string note = {};            // how a value came about that is not in the file as it stands
};

// The text of one file, able to show any place of it.
class SourceText {
 public:
  SourceText(std::string_view text, std::string file_name);

  std::string_view text() const { return text_; }
  const std::string& file_name() const { return file_name_; }
  std::string_view line(int number) const;  // without its line end; "" when there is none
  // With the line, but for one that is too long, or holds what should not be shown.
  Location location(Place place) const;
  Origin origin(Place place) const;
  Origin origin(const Entry& entry) const;  // of its value: its own source, its note

 private:
  std::string_view text_;
  std::string file_name_;
  std::vector<std::string_view> lines_;
  std::vector<int> secret_lines_;  // in order
};

struct Document {
  NodePtr root;       // null: unreadable or empty, see problems
  Problems problems;  // syntax, duplicate keys
};

// Never throws, whatever the bytes; size, depth and node count are bounded.
Document read_document(const SourceText& source);

}  // namespace muster::config
