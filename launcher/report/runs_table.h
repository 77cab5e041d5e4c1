// `muster runs`: the runs of a runs directory, one line each.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/plan/run_outcome.h"
#include "launcher/report/run_state.h"

namespace muster::report {

struct RunRow {
  std::string run_id;
  std::string run_directory;
  std::optional<RunState> state;  // nullopt: run.json cannot be read
  std::string problem;            // why not
};

// "unreadable" without a state.
std::string status_of(const RunRow& row);

// "1.2 MiB lost, 2 files not stored"; "" where all is there.
std::string missing_text(const MissingView& missing);

// In as many columns as the terminal has; 0: nothing is cut.
std::string runs_table(const std::vector<RunRow>& rows, plan::WallTime now, int columns);
std::string runs_json(const std::vector<RunRow>& rows, plan::WallTime now);

}  // namespace muster::report
