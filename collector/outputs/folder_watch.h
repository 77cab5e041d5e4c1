// What inotify says of output folders: hints that a look is worth while, and which files somebody
// has closed.  It misses what other machines write and what is written through mmap, its queue
// overflows, and some systems have none: nothing relies on it.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"

namespace muster::outputs {

struct FolderHints {
  std::vector<std::string> closed;  // paths that are complete, as far as one writer goes
  bool any = false;                 // something happened
  bool overflowed = false;          // more happened than was told
};

class FolderWatch {
 public:
  // nullopt where there is none.
  static std::optional<FolderWatch> create();

  // `path` is what the folder is called in listings.  Known ones cost nothing.  False: this folder
  // is not watched (the system's limit, a file system without events).
  bool add(const std::string& path, const std::filesystem::path& folder);
  FolderHints read();
  int fd() const { return fd_.get(); }

 private:
  explicit FolderWatch(Fd fd) : fd_(std::move(fd)) {}

  Fd fd_;
  std::map<int, std::string> by_watch_;
  std::map<std::string, int, std::less<>> by_path_;
};

}  // namespace muster::outputs
