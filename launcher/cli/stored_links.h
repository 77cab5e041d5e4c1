// Symbolic links among a run's stored files: where they lead, as paths of the run directory.
#pragma once

#include <string>

#include "collector/store/safe_path.h"
#include "muster/result.h"

namespace muster::cli {

// Its text.  Errors: kData: it is no link, or cannot be read.
Result<std::string> link_text(const store::SafeRoot& run, const std::string& path);

// The file or folder that the link at `path` leads to, over other links if need be.  Errors: kData:
// it leads nowhere, in a circle, or out of the run's output folders.
Result<std::string> follow_link(const store::SafeRoot& run, const std::string& path);

}  // namespace muster::cli
