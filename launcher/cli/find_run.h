// Which run is meant: the RUN word of `muster status`, `logs`, `cancel` and the like.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/cli/command_line.h"
#include "muster/result.h"

namespace muster::cli {

struct FoundRun {
  store::RunDirectory directory;
  std::string run_id;
  std::string shown_directory;  // as the user would type it
  std::string summary = {};     // of one that has ended (report/run_summary.h); "": not known
};

// The runs in a runs directory, the newest first; empty when there is no such directory.  Of many,
// a catalogue remembers what need not be read again.
std::vector<FoundRun> list_runs(const std::filesystem::path& runs_dir);

// `word` is a run's directory, its id, the beginning of its id, or `latest`.  Errors: kUsage,
// with the runs that could be meant.
Result<FoundRun> find_run(const std::string& word, const std::filesystem::path& runs_dir);

// The run of a command line, in its --runs-dir.  When it was not named, a person at a terminal is
// told which one it is.
Result<FoundRun> find_run(const CommandLine& line);

}  // namespace muster::cli
