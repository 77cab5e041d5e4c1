// The closing words of a run, for the person who started it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"

namespace muster::report {

struct OutputsSummary {
  std::uint64_t file_count = 0;
  std::uint64_t bytes = 0;
};

struct ReportContext {
  std::string run_id;
  std::string run_directory;  // as shown; also where the ranks' last lines are read from
  int attempt = 0;
  OutputsSummary outputs;            // what is in its outputs/
  std::vector<std::string> uploads;  // a sentence for each output that is somewhere else as well
  std::string python3;               // what ranks find on PATH for want of a `python`; or ""
  std::vector<std::string> mpirun_log_tail;  // mpirun's last words, with last_lines()
};

// Success: what ran, for how long, where the results are.  Failure: who failed first and how, its
// last lines, what became of the others, where the rest is, and whose exit code it is.  Begins with
// "muster: "; every line ends in a newline.
std::string report_text(const plan::RunOutcome& outcome, const plan::LaunchPlan& plan,
                        const ReportContext& context);

}  // namespace muster::report
