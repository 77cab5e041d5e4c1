// Whose the names of one run directory's output folders are, where two of one process fill them:
// the launcher that owns it, and a replica of what other launchers of the run send
// (docs/run-store.md).
//
// The launcher's own files keep their names: it has the lowest rank of the run.  Everything that
// looks a name up, or gives one, holds the lock meanwhile.  From any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/file_manifest.h"
#include "collector/store/safe_path.h"
#include "muster/result.h"

namespace muster::store {

class OutputNames {
 public:
  using Lock = std::unique_lock<std::mutex>;

  [[nodiscard]] Lock lock() { return Lock(mutex_); }

  // ---- the launcher's own; these lock ----

  // `path` gets a file of ours while the result lives.  Other writers' files that have that name,
  // or that of a folder above it, or lie below it, get out of the way first, on record in
  // `manifest`.  `size` and `xxh3`: of a file that is complete; "" else.  Errors: kRunDirectory.
  Result<Lock> take(const std::string& path, std::uint64_t size, const std::string& xxh3,
                    const SafeRoot& root, FileManifest& manifest);
  void changed(const std::string& path);  // it grows
  void give_up(const std::string& path);  // nothing of ours has that name any more

  // ---- the replica's; with the lock ----

  bool is_own(std::string_view path) const { return own_.contains(path); }
  bool is_own_content(std::string_view path, std::uint64_t size, std::string_view xxh3) const;
  void others_have(const std::string& path, int owner_rank) { others_[path] = owner_rank; }
  void others_lack(const std::string& path) { others_.erase(path); }
  struct Moved {
    std::string from;
    std::string to;
  };
  // What take() has renamed since.
  std::vector<Moved> take_moved() { return std::exchange(moved_, {}); }

 private:
  struct Own {
    std::uint64_t size = 0;
    std::string xxh3;
  };

  Result<> move_away(const std::string& path, std::size_t name_end, const SafeRoot& root,
                     FileManifest& manifest);

  std::mutex mutex_;
  std::map<std::string, Own, std::less<>> own_;
  std::map<std::string, int, std::less<>> others_;  // with their owners' lowest rank
  std::vector<Moved> moved_;
};

}  // namespace muster::store
