// The path of an input or output, in any of the forms that configs have, → where that is.
#pragma once

#include <string>

#include "launcher/config/values.h"
#include "launcher/plan/data_plan.h"

namespace muster::plan {

// `directory`: where a relative path starts.
config::Parsed<DataPlace> resolve_place(const std::string& text, const std::string& directory,
                                        const config::Datastores& datastores);

// "datastore://blob/digits?sig=…": without what may be a credential, for people and for records.
std::string shown_path(const std::string& text);

}  // namespace muster::plan
