// `muster files`: the files of a run's output folders.

#include <algorithm>
#include <cstdio>

#include "collector/outputs/folder_scan.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/find_run.h"
#include "launcher/cli/wanted_files.h"
#include "launcher/report/files_table.h"
#include "launcher/report/run_state.h"

namespace muster::cli {
namespace {

bool is_wanted(const std::string& path, const std::vector<IgnorePattern>& patterns) {
  return patterns.empty() ||
         std::any_of(patterns.begin(), patterns.end(),
                     [&](const IgnorePattern& pattern) { return is_meant(path, pattern); });
}

std::vector<report::StoredFile> files_of(const store::RunDirectory& run) {
  std::vector<report::StoredFile> all;
  const IgnoreRules none;
  for (const auto& [name, path] : {std::pair("outputs", run.outputs()), {"logs", run.logs()}}) {
    outputs::ScanOptions options;
    options.large_core_dumps = true;
    for (const outputs::FoundFile& file : outputs::scan({name, path}, none, options).files) {
      all.push_back({file.path, file.facts.is_link() ? 0 : file.facts.size});
    }
  }
  return all;
}

}  // namespace

CommandResult files_command(const CommandLine& line) {
  const auto problem = [](Error error) {
    return tl::unexpected<Problems>(Problems{std::move(error)});
  };
  auto run = line.words.empty() ? find_run(line) : find_run(line.words.front(), line.runs_dir);
  if (!run) return problem(std::move(run).error());
  auto states = store::read_manifest(run->directory.files_jsonl());
  if (!states) return problem(std::move(states).error());
  const auto state = report::look_at_run(run->directory);
  const bool running = state && state->phase == report::RunPhase::kRunning;

  std::vector<report::FileRow> rows = report::file_rows(*states, files_of(run->directory), running);
  std::vector<IgnorePattern> patterns;
  for (std::size_t i = 1; i < line.words.size(); ++i) {
    std::string_view word = line.words[i];
    while (word.size() > 1 && word.ends_with('/')) word.remove_suffix(1);
    patterns.emplace_back(word);
  }
  std::erase_if(rows, [&](const report::FileRow& row) { return !is_wanted(row.path, patterns); });

  const auto now = std::chrono::system_clock::now();
  if (state && state->phase == report::RunPhase::kLost) {
    std::fprintf(
        stderr,
        "muster: the launcher of run %s was killed: what its ranks wrote last may be where "
        "they ran, and not here\n",
        run->run_id.c_str());
  }
  if (line.format == Format::kJson) return print(report::files_json(run->run_id, rows, now));
  if (rows.empty()) {
    std::fprintf(stderr, "muster: run %s has no %sfiles in its output folders\n",
                 run->run_id.c_str(), patterns.empty() ? "" : "such ");
    return 0;
  }
  return print(report::files_table(rows, now));
}

}  // namespace muster::cli
