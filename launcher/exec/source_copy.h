// The copy of source_directory that ranks run in, and the hash of what is in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "launcher/exec/source_tree.h"
#include "muster/result.h"

namespace muster::exec {

struct SourceCopy {
  std::int64_t files = 0;
  std::int64_t bytes = 0;
  // "xxh3-128:…" over what was copied, in the order of the paths: the same for the same names,
  // contents, links and executable bits, whoever owns them and wherever they lie.
  std::string hash;
};

// Copies the tree to `copy` (links as links; modes kept, and the times of files), with a thread for
// each core where there is much to do, and makes ./outputs and ./logs in it.  `check` is called now
// and then on this thread; its Error ends the copy.  Errors: kData; those of `check`.
Result<SourceCopy> copy_source(const SourceTree& tree, const std::filesystem::path& copy,
                               const std::function<Result<>()>& check);

}  // namespace muster::exec
