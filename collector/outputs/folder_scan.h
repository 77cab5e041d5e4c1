// One look at everything in an output folder.  Symbolic links are listed and never followed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/ignore_rules.h"
#include "collector/outputs/file_facts.h"
#include "muster/result.h"

namespace muster::outputs {

// A folder that is looked into, and what it is called in the run directory.
struct WatchedFolder {
  std::string name;            // "outputs", "outputs/model"
  std::filesystem::path path;  // where ranks write it; may be a symbolic link, may not exist
};

struct FoundFolder {
  std::string path;
  std::uint32_t mode = 0;
  bool is_empty = false;  // nothing at all is in it, and has not been since `since_ns`
};

struct LeftOut {
  std::string path;
  std::string why;  // "it is a FIFO"
};

struct FolderListing {
  bool exists = false;
  std::vector<FoundFile> files;      // by path; regular ones and symbolic links
  std::vector<FoundFolder> folders;  // each before what is in it, the folder itself first
  std::vector<LeftOut> left_out;     // what cannot be stored, and why
  std::vector<LeftOut> unreadable;   // folders: what is in them is not known
};

struct ScanOptions {
  // Folders that are not entered, for they hold what is stored.
  std::vector<std::filesystem::path> excluded = {};
  // Files whose content is older are not the run's.
  std::int64_t since_ns = INT64_MIN;
  bool large_core_dumps = false;  // are they data?
};

// What is left out unless a .musterignore takes it back ("!*.tmp").
inline constexpr std::string_view kIgnoredByDefault = "__pycache__/\n*.tmp\n*.swp\n.nfs*\n";
inline constexpr std::string_view kIgnoreFile = ".musterignore";

// The rules for a run: the defaults, then those of the working directory.
IgnoreRules rules_of(const std::filesystem::path& working_directory);

// Errors are in the listing: a folder that cannot be read hides no other.
FolderListing scan(const WatchedFolder& folder, const IgnoreRules& rules,
                   const ScanOptions& options);

}  // namespace muster::outputs
