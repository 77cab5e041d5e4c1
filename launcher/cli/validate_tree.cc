#include "launcher/cli/validate_tree.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/exit_code.h"
#include "base/files.h"
#include "base/text.h"
#include "base/text_table.h"

namespace muster::cli {
namespace {

namespace fs = std::filesystem;
using Align = TextTable::Align;

// A tree of configs is small; anything else was named by mistake.
constexpr std::size_t kMostFiles = 10'000;
constexpr int kMostDepth = 20;
constexpr std::size_t kLargestFile = std::size_t{4} << 20U;

struct Walk {
  std::vector<std::string> files;  // that may be configs, by their names
  bool cut = false;                // there are more
};

bool may_be_config(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return extension == ".runconfig" || extension == ".yml" || extension == ".yaml" ||
         extension == ".json";
}

// Hidden directories hold tools' own files, but for the one in which Azure ML keeps its configs.
bool is_of_tools(const fs::path& directory) {
  const std::string name = directory.filename().string();
  return name.starts_with('.') && name != ".azureml";
}

Walk walk(const std::string& directory) {
  Walk walk;
  std::error_code error;
  fs::recursive_directory_iterator at(directory, fs::directory_options::skip_permission_denied,
                                      error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored)) {
      if (is_of_tools(at->path())) {
        at.disable_recursion_pending();
      } else if (at.depth() >= kMostDepth) {
        at.disable_recursion_pending();
        walk.cut = true;
      }
      continue;
    }
    if (!at->is_regular_file(ignored) || !may_be_config(at->path())) continue;
    if (walk.files.size() == kMostFiles) {
      walk.cut = true;
      break;
    }
    walk.files.push_back(at->path().string());
  }
  std::sort(walk.files.begin(), walk.files.end());
  return walk;
}

struct Checked {
  std::string file;
  tl::expected<config::RunConfig, Problems> config;
  std::string dialect;  // also of one that is refused
};

std::optional<Checked> check(const CommandLine& line, const std::string& file) {
  auto text = read_file(file, kLargestFile);
  const bool named_so = file.ends_with(".runconfig");
  if (!text) {
    if (!named_so) return std::nullopt;
    return Checked{file, tl::unexpected<Problems>(Problems{std::move(text).error()}), ""};
  }
  const config::FirstLook look = config::look_at(*text);
  if (!named_so && !look.is_run_config) return std::nullopt;
  CommandLine one = line;
  one.words = {file};
  std::string unused;
  const std::string name = look.is_run_config ? look.name : "(not a run config)";
  return Checked{file, load_config(one, unused), name};
}

std::string processes(const config::RunConfig& config) {
  const auto& per_node = config.process_count_per_node.value;
  const std::string nodes = counted(config.node_count.value, "node");
  const std::string backend = config::to_string(config.distributed_backend.value);
  if (config.tensorflow) {
    return counted(config.tensorflow->worker_count.value, "worker") + " and " +
           counted(config.tensorflow->parameter_server_count.value, "parameter server") + " on " +
           nodes + ", " + backend;
  }
  const std::string each = per_node ? std::to_string(*per_node) : "auto";
  return nodes + " x " + each + ", " + backend;
}

int count_of(const config::RunConfig& config, config::Remark::Kind kind) {
  return static_cast<int>(
      std::count_if(config.remarks.begin(), config.remarks.end(),
                    [&](const config::Remark& remark) { return remark.kind == kind; }));
}

std::string resolved_line(const Checked& checked) {
  using Kind = config::Remark::Kind;
  const config::RunConfig& config = *checked.config;
  std::string text = checked.file + ": " + processes(config);
  if (const int warnings = count_of(config, Kind::kWarning)) {
    text += ", " + counted(warnings, "warning");
  }
  if (const int ignored = count_of(config, Kind::kIgnored)) {
    text += ", " + counted(ignored, "unknown key");
  }
  return text + "\n";
}

std::string refused_line(const Checked& checked) {
  const Problems& problems = checked.config.error();
  const Error& first = problems.front();
  std::string text = checked.file;
  if (first.location && first.location->line > 0 && first.location->file == checked.file) {
    text +=
        ":" + std::to_string(first.location->line) + ":" + std::to_string(first.location->column);
  }
  text += ": refused: " + config::on_one_line(first.message);
  if (problems.size() > 1) {
    text +=
        " (and " + counted(static_cast<std::int64_t>(problems.size()) - 1, "more problem") + ")";
  }
  return text + "\n";
}

struct Count {
  int files = 0;
  int resolved = 0;
  int with_warnings = 0;
};

std::string table(const std::vector<Checked>& all) {
  std::map<std::string, Count> counts;
  for (const Checked& each : all) {
    Count& count = counts[each.dialect.empty() ? "native" : each.dialect];
    ++count.files;
    if (!each.config) continue;
    ++count.resolved;
    if (count_of(*each.config, config::Remark::Kind::kWarning) > 0) ++count.with_warnings;
  }
  TextTable table({{"dialect"},
                   {"files", Align::kRight},
                   {"resolved", Align::kRight},
                   {"with warnings", Align::kRight},
                   {"refused", Align::kRight}});
  Count total;
  const auto add = [&](const std::string& name, const Count& count) {
    table.add_row({name, std::to_string(count.files), std::to_string(count.resolved),
                   std::to_string(count.with_warnings),
                   std::to_string(count.files - count.resolved)});
  };
  for (const auto& [name, count] : counts) {
    add(name, count);
    total.files += count.files;
    total.resolved += count.resolved;
    total.with_warnings += count.with_warnings;
  }
  add("all", total);
  return table.to_string();
}

nlohmann::ordered_json json_of(const Checked& checked) {
  nlohmann::ordered_json json = {{"file", checked.file}};
  json["dialect"] = nullptr;
  if (!checked.dialect.empty()) json["dialect"] = checked.dialect;
  json["resolved"] = checked.config.has_value();
  if (checked.config) {
    const auto described = nlohmann::ordered_json::parse(config::describe_json(*checked.config));
    json["settings"] = described["settings"];
    json["remarks"] = described.value("remarks", nlohmann::ordered_json::array());
    return json;
  }
  for (const Error& problem : checked.config.error()) {
    nlohmann::ordered_json one = {{"message", problem.message}, {"hint", problem.hint}};
    if (problem.location) {
      one["file"] = problem.location->file;
      one["line"] = problem.location->line;
      one["column"] = problem.location->column;
    }
    json["problems"].push_back(std::move(one));
  }
  return json;
}

std::string tree_json(const std::string& directory, const std::vector<Checked>& all,
                      std::size_t others, bool cut) {
  nlohmann::ordered_json json = {{"directory", directory}};
  json["files"] = nlohmann::ordered_json::array();
  for (const Checked& each : all) json["files"].push_back(json_of(each));
  json["other_files"] = others;
  json["complete"] = !cut;
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string tree_text(const std::vector<Checked>& all, std::size_t others, bool cut) {
  std::string text;
  for (const Checked& each : all) text += each.config ? resolved_line(each) : refused_line(each);
  text += "\n" + table(all);
  if (others > 0) {
    text += "\n" + counted(static_cast<std::int64_t>(others), "other file") +
            " (.yml, .yaml, .json) skipped: not a run config\n";
  }
  if (cut) {
    text += "\nnot all of it was looked at: more than " + std::to_string(kMostFiles) +
            " files, or deeper than " + std::to_string(kMostDepth) + " directories\n";
  }
  return text;
}

}  // namespace

CommandResult validate_tree(const CommandLine& line, const std::string& directory) {
  const Walk found = walk(directory);
  std::vector<Checked> all;
  for (const std::string& file : found.files) {
    if (auto checked = check(line, file)) all.push_back(std::move(*checked));
  }
  const std::size_t others = found.files.size() - all.size();
  if (all.empty()) {
    return tl::unexpected<Problems>(Problems{
        Error{ErrorCode::kConfig, "no run config below " + directory,
              "looked for .runconfig, .yml, .yaml and .json; name a file to be told why it is none",
              std::nullopt}});
  }
  auto printed = print(line.format == Format::kJson ? tree_json(directory, all, others, found.cut)
                                                    : tree_text(all, others, found.cut));
  if (!printed || *printed != 0) return printed;
  const bool refused =
      std::any_of(all.begin(), all.end(), [](const Checked& each) { return !each.config; });
  return refused ? to_int(ExitCode::kConfig) : 0;
}

}  // namespace muster::cli
