#include "collector/metrics/sources.h"

#include <algorithm>

#include "base/directory_entries.h"
#include "base/text.h"

namespace muster::metrics {
namespace {

namespace fs = std::filesystem;

constexpr int kDeepest = 32;

bool is_regular(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(fs::symlink_status(file, error));
}

void add_rank(const fs::path& run, const fs::path& directory, int rank, bool text,
              std::vector<Source>& sources) {
  const auto add = [&](Source::Kind kind, const char* name, const char* source) {
    const fs::path file = directory / name;
    if (is_regular(file)) {
      sources.push_back({kind, file, {file.lexically_relative(run).string(), rank, "", source}});
    }
  };
  add(Source::Kind::kLines, "metrics.jsonl", "metrics");
  if (!text) return;
  add(Source::Kind::kText, "stdout.log", "stdout");
  add(Source::Kind::kText, "stderr.log", "stderr");
}

void add_ranks(const fs::path& run, bool text, std::vector<Source>& sources) {
  for (const fs::path& place : entries_of(run / "ranks")) {
    const std::string name = place.filename();
    const auto rank =
        parse_integer(name.substr(std::min(name.find_first_not_of('0'), name.size() - 1)));
    if (!rank || *rank < 0 || *rank > 10'000'000) continue;
    for (const fs::path& attempt : entries_of(place)) {
      if (attempt.filename().string().starts_with("attempt-")) {
        add_rank(run, attempt, static_cast<int>(*rank), text, sources);
      }
    }
  }
}

void add_nodes(const fs::path& run, std::vector<Source>& sources) {
  for (const fs::path& file : entries_of(run / "node_metrics")) {
    if (file.extension() != ".jsonl" || !is_regular(file)) continue;
    sources.push_back({Source::Kind::kLines,
                       file,
                       {file.lexically_relative(run).string(), -1, file.stem().string(), "node"}});
  }
}

// Links are not followed: what they point to is found where it is, or is not the run's.
void add_events(const fs::path& run, const char* folder, std::vector<Source>& sources) {
  std::error_code error;
  std::vector<Source> found;
  fs::recursive_directory_iterator at(run / folder, fs::directory_options::skip_permission_denied,
                                      error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    if (at.depth() > kDeepest) at.disable_recursion_pending();
    const fs::path& file = at->path();
    if (!is_event_file(file.filename().native()) || !is_regular(file)) continue;
    const fs::path relative = file.lexically_relative(run);
    found.push_back({Source::Kind::kEvents,
                     file,
                     {relative.string(), -1, "", relative.parent_path().string()}});
  }
  std::sort(found.begin(), found.end(),
            [](const Source& a, const Source& b) { return a.file < b.file; });
  std::move(found.begin(), found.end(), std::back_inserter(sources));
}

}  // namespace

bool is_event_file(std::string_view name) {
  return name.find(".tfevents.") != name.npos && !name.starts_with('.') &&
         !name.ends_with(".profile-empty");
}

std::vector<Source> find_sources(const fs::path& run, bool text) {
  std::vector<Source> sources;
  add_ranks(run, text, sources);
  add_nodes(run, sources);
  add_events(run, "logs", sources);
  add_events(run, "outputs", sources);
  return sources;
}

}  // namespace muster::metrics
