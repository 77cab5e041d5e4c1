// source_directory in a plan: what will be copied, and whether it may be.  Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::plan {

struct SourceItem {
  std::string path;  // relative to source_directory; folders end in a slash
  std::int64_t files = 0;
  std::int64_t bytes = 0;
};

// What a look at source_directory found (launcher/exec/source_tree.h).
struct SourceFacts {
  std::string ignore_file;  // ".amlignore", ".gitignore"; "": there is none
  std::int64_t files = 0;   // links included
  std::int64_t bytes = 0;
  std::int64_t left_out = 0;        // files and folders that the ignore files leave out
  bool complete = true;             // false: there were too many files to look at all of them
  std::vector<SourceItem> largest;  // by bytes, by files; single files deeper down
  std::vector<std::string> links_outside;  // "data -> /mnt/data"
};

// A source that may be copied.
struct SourcePlan {
  SourceFacts facts;
  std::int64_t limit_files = 0;
  std::int64_t limit_bytes = 0;
};

// Refuses a source that is larger than the limits or has links that lead out of it.
Result<SourcePlan> plan_source(const config::RunConfig& config, const std::string& directory,
                               const SourceFacts& facts);

// "41 files, 1.2 MiB"
std::string source_size(const SourceFacts& facts);

// What git says of source_directory.
struct GitState {
  std::string commit;  // "": no commit yet
  std::string branch;  // "": none is checked out
  std::string remote;  // its URL, without credentials
  std::optional<bool> dirty;
  std::string problem;  // why some of it is not known
};

// Of a run: what its ranks worked with.
struct SourceRecord {
  std::string directory;
  bool in_place = false;
  std::string ignore_file;
  std::int64_t files = 0;
  std::int64_t bytes = 0;
  std::string hash;             // "xxh3-128:…"; "" in place
  std::optional<GitState> git;  // nullopt: not in a work tree of git's
};

// A remote's URL without user names that may be tokens, passwords, and queries.
std::string url_without_credentials(std::string url);

// What `git status --porcelain=v2 --branch` printed.
void read_git_status(const std::string& text, GitState& state);

}  // namespace muster::plan
