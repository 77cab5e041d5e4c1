// Finds the streams of a run directory, by their names.
//
// A run of 1,000 ranks has 6,000 files in 2,000 folders, and this looks often: a folder is read
// again only when its time of change says so, or when it was read so soon after a change that its
// time could not tell.  Names of the output folders are not looked for: their manifest has them.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>
#include <unordered_set>
#include <vector>

#include "collector/store/run_directory.h"
#include "collector/store/stream_kind.h"

namespace muster::replication {

struct FoundStream {
  std::string path;  // relative to the run directory
  store::StreamKind kind = store::StreamKind::kLog;
};

class StoreScan {
 public:
  explicit StoreScan(const store::RunDirectory& run);

  // Append-only streams that were not there before.  `thorough`: every folder is read again.
  std::vector<FoundStream> look(bool thorough);

 private:
  struct Folder {
    std::string path;  // "" for the run directory itself
    timespec changed{};
    bool settled = false;  // it was read well after its last change
  };

  void look_into(std::size_t folder, bool thorough, std::vector<FoundStream>& found);
  void take(const std::string& path, bool is_folder, std::vector<FoundStream>& found);

  const std::string root_;
  std::vector<Folder> folders_;
  std::unordered_set<std::string> known_;
};

}  // namespace muster::replication
