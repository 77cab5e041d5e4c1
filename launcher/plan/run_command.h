// What a rank execs, and where.
#pragma once

#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"

namespace muster::plan {

// The argv of every rank: the program, the config's parameters, then the extra arguments.
std::vector<std::string> rank_argv(const config::RunConfig& config);

// Sets argv and which of its words each rank expands: of an entry_script, what the config says;
// what stood on a command line has been through a shell already.
void choose_argv(const config::RunConfig& config, LaunchPlan& plan);

// Sets working_directory, in_place and source_directory, and says why.
void choose_working_directory(const config::RunConfig& config, const std::string& current_directory,
                              LaunchPlan& plan);

// Says what will be copied, and what bounds it.
void explain_source(const SourcePlan& source, std::vector<Reason>& reasons);

// Configs of Azure ML say `python` where Debian has python3 alone: an entry_script gets that. Tells
// whether it was so.
bool take_python3(const config::RunConfig& config, const PythonFacts& python, LaunchPlan& plan);

// Says which Python the ranks run and where it comes from; warns when another environment is
// active.
void explain_python(const PythonFacts& python, LaunchPlan& plan);

}  // namespace muster::plan
