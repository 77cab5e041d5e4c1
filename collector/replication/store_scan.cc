#include "collector/replication/store_scan.h"

#include <dirent.h>
#include <memory>
#include <sys/stat.h>

namespace muster::replication {
namespace {

// Times of change are as coarse as two seconds on some file systems, and clocks of servers differ.
constexpr std::time_t kCoarse = 3;

// Of these folders and those below; what else a run directory holds does not travel.
bool may_hold_streams(const std::string& folder) {
  for (const char* name : {"ranks", "launcher", "node_metrics"}) {
    if (folder == name || folder.starts_with(std::string(name) + "/")) return true;
  }
  return false;
}

bool is_same(const timespec& one, const timespec& other) {
  return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

}  // namespace

StoreScan::StoreScan(const store::RunDirectory& run) : root_(run.root().string()) {
  folders_.push_back({});
}

std::vector<FoundStream> StoreScan::look(bool thorough) {
  std::vector<FoundStream> found;
  // Folders that are found on the way are looked into, too.
  for (std::size_t i = 0; i < folders_.size(); ++i) look_into(i, thorough, found);
  return found;
}

void StoreScan::look_into(std::size_t folder, bool thorough, std::vector<FoundStream>& found) {
  const std::string path = folders_[folder].path;
  const std::string full = path.empty() ? root_ : root_ + "/" + path;
  struct stat facts {};
  if (::lstat(full.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) return;
  Folder& state = folders_[folder];
  if (!thorough && state.settled && is_same(state.changed, facts.st_mtim)) return;
  state.changed = facts.st_mtim;
  state.settled = std::time(nullptr) - facts.st_mtim.tv_sec > kCoarse;

  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(full.c_str()), ::closedir);
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string name = entry->d_name;
    if (name.starts_with('.')) continue;
    const std::string below = path.empty() ? name : path + "/" + name;
    if (known_.contains(below)) continue;
    unsigned char type = entry->d_type;
    if (type == DT_UNKNOWN) {
      struct stat of_entry {};
      if (::lstat((root_ + "/" + below).c_str(), &of_entry) != 0) continue;
      type = S_ISDIR(of_entry.st_mode) ? DT_DIR : S_ISREG(of_entry.st_mode) ? DT_REG : DT_LNK;
    }
    if (type == DT_DIR || type == DT_REG) take(below, type == DT_DIR, found);
  }
}

void StoreScan::take(const std::string& path, bool is_folder, std::vector<FoundStream>& found) {
  if (is_folder) {
    if (!may_hold_streams(path)) return;
    known_.insert(path);
    folders_.push_back({.path = path});
    return;
  }
  const auto kind = store::kind_of(path);
  if (!kind || !store::is_append_only(*kind)) return;
  known_.insert(path);
  found.push_back({path, *kind});
}

}  // namespace muster::replication
