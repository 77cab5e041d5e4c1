// The files that requirements name: other requirement files, wheels, directories.
#pragma once

#include <string>
#include <vector>

#include "launcher/plan/python_plan.h"
#include "muster/result.h"

namespace muster::python_env {

// The file and all that it includes by -r and -c, in the order in which pip reads them.
Result<std::vector<plan::NamedText>> read_requirement_files(const std::string& path);

// The same word with a full path when it names something that lies in one of the directories:
// "./wheels", "-e ../pkg", "-r more.txt".  `after` is the option before it, "" for none.
std::string with_full_path(const std::string& word, const std::string& after,
                           const std::vector<std::string>& directories);

// A line for each local file and directory that the requirements name, and for each file of a
// find-links directory whose package they name: its path, size and time.  When one of them changes,
// so does what pip would install.
std::vector<std::string> look_at_local_packages(const std::vector<std::string>& requirements,
                                                const std::vector<std::string>& find_links,
                                                const std::string& working_directory);

}  // namespace muster::python_env
