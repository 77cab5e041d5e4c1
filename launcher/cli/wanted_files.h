// Which files of a run the words of `muster files` and `muster download` mean.  Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ignore_rules.h"

namespace muster::cli {

bool is_pattern(std::string_view word);

// As .gitignore has it, a folder's name means what is in it.
bool is_meant(const std::string& path, const IgnorePattern& pattern);

struct WantedFile {
  std::string path;    // in the run directory
  std::string target;  // below DEST
  bool is_link = false;
};

// What one word means: a file, a folder with all that is in it, or whatever a pattern matches.  A
// pattern looks into the output folders, as `muster files` does, unless it names another one
// ("ranks/*/attempt-0/stdout.log"); `files` are those of the run directory.
std::vector<WantedFile> find_wanted(const std::string& word, const std::vector<std::string>& files);

}  // namespace muster::cli
