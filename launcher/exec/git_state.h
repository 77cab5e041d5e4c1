// What git says of a directory: asked while the source is copied, and waited for no longer than a
// moment.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "launcher/plan/source_plan.h"

namespace muster::exec {

// A git that was started, and what it prints.
class GitQuestion {
 public:
  // For the thread that forks.  Asks nothing where `directory` is in no work tree.
  static GitQuestion ask(const std::filesystem::path& directory, const std::string& search_path);

  // Waits until the deadline, then git is killed and `problem` says so.  Nullopt: no work tree.
  std::optional<plan::GitState> answer(std::chrono::steady_clock::time_point deadline);

 private:
  struct Asked {
    Child child;
    Fd output;  // a file without a name: git need not wait for us to read
    std::string words;
  };

  void start(const std::filesystem::path& directory, const std::string& search_path,
             std::vector<std::string> words);
  bool wait(Asked& asked, std::chrono::steady_clock::time_point deadline);

  bool in_work_tree_ = false;
  std::string problem_;
  std::vector<Asked> asked_;
};

}  // namespace muster::exec
