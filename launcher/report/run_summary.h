// What the catalogue of runs keeps of a run that has ended: its run.json without what a list of
// runs does not show.  Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "launcher/report/read_run.h"

namespace muster::report {

std::string run_summary(const RunView& view);
// What run_summary() kept; nullopt for any other text.
std::optional<RunView> run_of_summary(std::string_view summary);

}  // namespace muster::report
