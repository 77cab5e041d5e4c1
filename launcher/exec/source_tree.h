// What of source_directory goes into a run: a look at the tree, before anything is copied.
#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

#include "launcher/plan/source_plan.h"
#include "muster/result.h"

namespace muster::exec {

struct SourceEntry {
  std::string path;  // relative to the root
  mode_t mode = 0;
  std::int64_t size = 0;
  timespec accessed{};
  timespec modified{};
  std::string target = {};  // of a link
};

struct SourceTree {
  std::filesystem::path root;
  std::vector<SourceEntry> folders;  // each after the one that it is in
  std::vector<SourceEntry> files;    // regular ones and links
  plan::SourceFacts facts;
};

// Leaves out .git, `runs` (also where it does not exist yet), what the ignore files name, and what
// is no data: sockets, FIFOs, devices.  The rules are those of .amlignore files where the root has
// one, else those of .gitignore files.  Errors: kData.
Result<SourceTree> look_at_source(const std::filesystem::path& root,
                                  const std::filesystem::path& runs);

}  // namespace muster::exec
