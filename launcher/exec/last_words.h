// What the end of a failed rank's stderr says in words that are known.  Pure; for wrong guesses
// costing more than none, only words at the very end count.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/exit_status.h"
#include "launcher/plan/run_outcome.h"

namespace muster::exec {

// "ValueError: loss is nan at step 1200": the exception that ended a Python program.
std::optional<std::string> python_exception(std::string_view words);

// A shared library that the dynamic loader or an import did not find, or found too old.
std::optional<plan::Evidence> missing_library(std::string_view words, const ExitStatus& status);

// A write that failed because a disk or a quota was full, be it that there is room again.
std::optional<plan::Evidence> lack_of_room(std::string_view words);

}  // namespace muster::exec
