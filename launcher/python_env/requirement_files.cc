#include "launcher/python_env/requirement_files.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <sys/stat.h>

#include <fmt/format.h>

#include "base/files.h"
#include "base/text.h"
#include "launcher/plan/requirement_text.h"

namespace muster::python_env {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMostFiles = 100;
constexpr std::size_t kLargestFile = std::size_t{4} << 20;
constexpr int kMostEntries = 20'000;

bool is_url(const std::string& text) {
  return text.find("://") != std::string::npos && !text.starts_with("file:");
}

Result<> read_with_included(const fs::path& path, const std::string& included_by,
                            std::set<std::string>& known, std::vector<plan::NamedText>& files) {
  if (!known.insert(path.string()).second) return {};
  if (known.size() > kMostFiles) {
    return fail(ErrorCode::kConfig, "more than 100 requirement files, with " + path.string());
  }
  auto text = read_file(path, kLargestFile);
  if (!text) {
    Error error = std::move(text).error();
    error.code = ErrorCode::kConfig;
    if (!included_by.empty()) error.message += ", which " + included_by + " includes";
    return Failure(std::move(error));
  }
  files.push_back({path.string(), std::move(*text)});
  const std::string own_text = files.back().text;  // files grows below
  for (const std::string& line : plan::requirement_lines(own_text)) {
    for (const auto& [brief, full] : {std::pair{"-r", "--requirement"}, {"-c", "--constraint"}}) {
      const auto named = plan::option_value(line, brief, full);
      if (!named || named->empty() || is_url(*named)) continue;
      // Names with variables are pip's to expand.
      if (named->find("${") != std::string::npos) continue;
      MUSTER_TRY(read_with_included((path.parent_path() / *named).lexically_normal(), path.string(),
                                    known, files));
    }
  }
  return {};
}

std::string size_and_time(const fs::path& path, const struct stat& info) {
  return fmt::format("{} {} {}.{}", path.string(), info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

// Of a package's source: how many files, how large together, the newest.  Enough to notice an edit.
std::string tree_state(const fs::path& directory) {
  struct stat newest {};
  std::int64_t bytes = 0;
  int count = 0;
  std::error_code error;
  fs::recursive_directory_iterator at(directory, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name == ".git" || name == "__pycache__" || name.ends_with(".egg-info") || name == "build") {
      at.disable_recursion_pending();
      continue;
    }
    struct stat info {};
    if (::lstat(at->path().c_str(), &info) != 0 || S_ISDIR(info.st_mode)) continue;
    bytes += info.st_size;
    const auto time = [](const struct stat& of) {
      return std::pair(of.st_mtim.tv_sec, of.st_mtim.tv_nsec);
    };
    if (time(info) > time(newest)) newest = info;
    if (++count == kMostEntries) break;
  }
  newest.st_size = bytes;
  return fmt::format("{} files of {}", count, size_and_time(directory, newest));
}

void look_at(const fs::path& path, std::vector<std::string>& states) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return;  // pip will say so
  states.push_back(S_ISDIR(info.st_mode) ? tree_state(path) : size_and_time(path, info));
}

}  // namespace

Result<std::vector<plan::NamedText>> read_requirement_files(const std::string& path) {
  std::set<std::string> known;
  std::vector<plan::NamedText> files;
  MUSTER_TRY(read_with_included(path, "", known, files));
  return files;
}

std::string with_full_path(const std::string& word, const std::string& after,
                           const std::vector<std::string>& directories) {
  constexpr std::pair<const char*, const char*> kTakePaths[] = {{"-r", "--requirement"},
                                                                {"-c", "--constraint"},
                                                                {"-f", "--find-links"},
                                                                {"-e", "--editable"}};
  const auto full = [&](const std::string& path) -> std::string {
    if (path.empty() || path.front() == '/' || path.find(':') != std::string::npos) return path;
    for (const std::string& directory : directories) {
      const fs::path found = (fs::path(directory) / path).lexically_normal();
      std::error_code error;
      if (fs::exists(found, error)) return found.string();
    }
    return path;
  };
  for (const auto& [brief, name] : kTakePaths) {
    if (after == brief || after == name) return full(word);
    if (const auto value = plan::option_value(word, brief, name); value && !value->empty()) {
      const char between = word.starts_with("--") && word.find('=') < word.find(' ') ? '=' : ' ';
      return std::string(word.starts_with("--") ? name : brief) + between + full(*value);
    }
  }
  if (after.starts_with('-')) return word;
  const std::string path = plan::local_path(word);
  return path == word ? full(word) : word;
}

std::vector<std::string> look_at_local_packages(const std::vector<std::string>& requirements,
                                                const std::vector<std::string>& find_links,
                                                const std::string& working_directory) {
  std::vector<std::string> states;
  std::set<std::string> names;
  for (const std::string& line : requirements) {
    if (const std::string path = plan::local_path(line); !path.empty()) {
      look_at(fs::path(working_directory) / path, states);
    }
    if (const std::string name = plan::distribution_name(line); !name.empty()) names.insert(name);
  }
  for (const std::string& where : find_links) {
    const std::string path = where.starts_with("file://") ? where.substr(7) : where;
    std::error_code error;
    fs::directory_iterator at(fs::path(working_directory) / path, error);
    for (const fs::directory_iterator end; !error && at != end; at.increment(error)) {
      const std::string file = at->path().filename().string();
      if (names.contains(plan::distribution_of_file(file))) look_at(at->path(), states);
    }
  }
  std::sort(states.begin(), states.end());
  return states;
}

}  // namespace muster::python_env
