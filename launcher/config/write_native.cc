// Writes what describe shows: the rows of the key table, as the tree of their key paths.

#include "launcher/config/write_native.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/text.h"
#include "launcher/config/keys.h"
#include "launcher/config/problems.h"

namespace muster::config {
namespace {

namespace fs = std::filesystem;

// A word that YAML reads as nothing.
bool is_null_word(std::string_view text) {
  return text == "~" || text == "null" || text == "Null" || text == "NULL";
}

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Whether a text may stand without quotes, and be read as it is, by every YAML reader.
bool is_plain(std::string_view text) {
  constexpr std::string_view kInside = "_./$-+=@%";
  if (text.empty() || is_null_word(text)) return false;
  if (!is_letter_or_digit(text.front()) && text.front() != '_' && text.front() != '/' &&
      text.front() != '.' && !(text.size() > 2 && text.starts_with("--"))) {
    return false;
  }
  if (text.find_first_not_of('-') == std::string_view::npos) return false;
  if (text.find_first_not_of('.') == std::string_view::npos && text.size() > 2) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter_or_digit(c) || kInside.find(c) != std::string_view::npos;
  });
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += std::string("\\") + c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\r') {
      result += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02x", byte);
      result += code;
    } else {
      result += c;
    }
  }
  return result + "\"";
}

std::string yaml_text(std::string_view text) {
  return is_plain(text) ? std::string(text) : quoted(text);
}

std::string yaml_value(const Shown& shown) {
  if (const auto* number = std::get_if<std::int64_t>(&shown)) return std::to_string(*number);
  if (const auto* text = std::get_if<std::string>(&shown)) return yaml_text(*text);
  const auto* words = std::get_if<std::vector<std::string>>(&shown);
  if (words == nullptr) return "";  // nothing: a bare flag, an output that stays in the run
  std::vector<std::string> items;
  for (const std::string& word : *words) items.push_back(yaml_text(word));
  return "[" + join(items, ", ") + "]";
}

struct Branch {
  std::string word;
  std::string value;    // of a leaf
  std::string comment;  // behind it
  std::vector<std::unique_ptr<Branch>> children;

  Branch& child(const std::string& name) {
    for (const auto& each : children) {
      if (each->word == name) return *each;
    }
    children.push_back(std::make_unique<Branch>());
    children.back()->word = name;
    return *children.back();
  }

  void write(const std::string& indent, std::string& out) const {
    out += indent + yaml_text(word) + ":";
    if (!value.empty()) out += " " + value;
    if (!comment.empty()) out += "  # " + comment;
    out += "\n";
    for (const auto& each : children) each->write(indent + "  ", out);
  }
};

// "process_count_per_node" → itself; "environment.variables.A.B" → environment, variables, A.B:
// behind a key with entries, the rest is one name, or for data a name and a field.
std::vector<std::string> words_of(const Key& key, const std::string& path) {
  std::vector<std::string> words = split(key.path, '.');
  if (path.size() <= key.path.size()) return words;
  const std::string rest = path.substr(key.path.size() + 1);
  const std::size_t dot = rest.find('.');
  const bool data = key.path == "inputs" || key.path == "outputs";
  if (data && dot != std::string::npos) {
    words.push_back(rest.substr(0, dot));
    words.push_back(rest.substr(dot + 1));
  } else {
    words.push_back(rest);
  }
  return words;
}

// What the place of a value does not say: "derived: …", "… (pytorch.processCount is 8 in total)".
std::string comment_of(const Origin& origin) {
  if (origin.kind == Origin::Kind::kDerived) return on_one_line(origin.text);
  const std::size_t note = origin.text.find(" (");
  if (origin.kind == Origin::Kind::kFile && note == std::string::npos) return "";
  return on_one_line(origin.text);
}

bool has_value(const Row& row) {
  return !std::holds_alternative<std::monostate>(row.value);
}

std::string kind_word(Remark::Kind kind) {
  switch (kind) {
    case Remark::Kind::kWarning: return "warning: ";
    case Remark::Kind::kElsewhere: return "not done here: ";
    case Remark::Kind::kIgnored: return "not used: ";
  }
  return "";
}

bool is_relative(const std::string& path) {
  return !path.empty() && path.front() != '/' && path.front() != '$' && path.front() != '~' &&
         path.find("://") == std::string::npos && !path.starts_with("azureml:") &&
         path.find("${{") == std::string::npos;
}

}  // namespace

std::string native_yaml(const RunConfig& config) {
  Branch root;
  for (const Key& key : keys()) {
    if (key.show == nullptr) continue;
    std::vector<Row> rows;
    key.show(key, config, rows);
    for (const Row& row : rows) {
      if (row.origin.kind == Origin::Kind::kDefault) continue;
      std::vector<std::string> words = words_of(key, row.key);
      const bool entry = row.key.size() > key.path.size();
      if (!has_value(row) && !entry) continue;
      // An output that stays in the run directory, and has no path to show.
      const bool no_path = !has_value(row) && words.back() == "path" && words.size() > 2;
      if (no_path) words.pop_back();
      Branch* at = &root;
      for (const std::string& word : words) at = &at->child(word);
      at->value = yaml_value(row.value);
      at->comment = comment_of(row.origin);
    }
  }
  std::string text;
  if (!config.dialect.empty()) {
    text += "# " + on_one_line(config.file_name) + ", " + on_one_line(config.dialect) + "\n";
  }
  for (const Remark& remark : config.remarks) {
    text += "# " + on_one_line(remark.origin.text) + " " + kind_word(remark.kind) +
            on_one_line(remark.text) + "\n";
  }
  for (const auto& each : root.children) each->write("", text);
  return text;
}

RunConfig relocated(RunConfig config, const std::string& directory) {
  const fs::path from = config.config_directory;
  config.config_directory = directory;
  if (from == fs::path(directory)) return config;
  if (!config.source_directory.value) {  // then ranks run where the config is
    const Origin origin{Origin::Kind::kDerived, "derived: where the config was", std::nullopt, {}};
    config.source_directory = {".", origin};
    config.in_place = {true, origin};
  }
  const auto move = [&](std::optional<std::string>& path) {
    if (!path || !is_relative(*path)) return;
    std::string moved = (from / *path).lexically_normal().lexically_relative(directory).string();
    if (moved.size() > 1 && moved.ends_with('/')) moved.pop_back();  // of "project/."
    path = std::move(moved);
  };
  move(config.source_directory.value);
  move(config.python.conda_file.value);
  move(config.python.pip_requirements_file.value);
  for (auto* bindings : {&config.inputs, &config.outputs}) {
    for (DataBinding& binding : *bindings) move(binding.path.value);
  }
  return config;
}

}  // namespace muster::config
