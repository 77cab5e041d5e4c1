// The values of options, as words or variables gave them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/cli/options.h"
#include "muster/result.h"

namespace muster::cli {

// One value of an option, and who gave it.
struct GivenValue {
  std::string text;  // "" for a switch
  std::string by;    // "--console", "MUSTER_CONSOLE"
};

// "--console al" or "MUSTER_CONSOLE=al", as it was written.
std::string as_given(const GivenValue& value);

// By the option's own long name, in the order in which they were given.
using Given = std::map<std::string, std::vector<GivenValue>, std::less<>>;
using CallerEnvironment = std::map<std::string, std::string>;

// Checks the value, as far as the table knows what is right, and adds it.
Result<> add_given(const OptionRow& option, GivenValue value, Given& given);

// What the caller's MUSTER_ variables say to a command, beside the flags that were typed: a
// variable that a flag overrules is not checked, and one that a flag excludes is as if it were not
// there.
Result<Given> given_by_variables(const std::string& command, const CallerEnvironment& environment,
                                 const Given& flags);

// MUSTER_ variables that nobody reads and that look like a misspelt one.
std::vector<std::string> warnings_of_variables(const CallerEnvironment& environment);

// Variables that mean something to Muster and stand for no option.
struct OtherVariable {
  std::string_view name;
  std::string_view meaning;  // Markdown
};
std::span<const OtherVariable> other_variables();

}  // namespace muster::cli
