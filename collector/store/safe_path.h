// Names that come from outside (a peer, a training program) and what may be done with them: nothing
// that is reached through them can lie outside of one directory.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::store {

// What a stored path may hold at most, and one name of it.
inline constexpr std::size_t kLongestPath = 1024;
inline constexpr std::size_t kLongestName = 255;

// Why `path` is no path below a directory, relative and with plain names only; nullopt when it is
// one.  Bytes are not looked at beyond that: a name need not be text.  Pure.
std::optional<std::string> why_unsafe(std::string_view path);

// A directory below which names from outside are opened.  Every name on the way is a directory, no
// link; also when somebody swaps one for a link at that moment (openat2, else name by name with
// O_NOFOLLOW).
//
// Errors: kPermission for a name that leads elsewhere or is no regular file, kRunDirectory for what
// the system refuses.
class SafeRoot {
 public:
  static Result<SafeRoot> open(const std::string& directory);

  // A regular file; with O_CREAT its folders are made too.  A device or FIFO is refused and never
  // waited for.
  Result<Fd> open_file(std::string_view path, int flags, mode_t mode = 0644) const;

  // The directory that holds the last name, for what is done by name: renameat, unlinkat, …  Those
  // never follow the last name.
  struct Place {
    Fd directory;
    std::string name;
  };
  Result<Place> place(std::string_view path, bool make_folders) const;

  Result<> make_folder(std::string_view path, mode_t mode = 0755) const;
  // From and to are both below; what was at `to` is replaced.
  Result<> rename(std::string_view from, std::string_view to) const;
  // What is not there is fine.
  Result<> remove(std::string_view path) const;
  // A folder with the folders in it, as long as nothing else is in them.
  Result<> remove_folders(std::string_view path) const;
  Result<> make_link(const std::string& target, std::string_view path) const;
  // Of the name itself, not of what a link leads to; nullopt when it is not there.
  Result<std::optional<struct stat>> look(std::string_view path) const;
  // Makes new names in its folder durable.
  Result<> sync_folder_of(std::string_view path) const;

  const std::string& directory() const { return directory_; }
  const Fd& fd() const { return fd_; }

  // For tests: as if the kernel had no openat2.
  void use_fallback() { has_openat2_ = false; }

 private:
  SafeRoot(std::string directory, Fd fd) : directory_(std::move(directory)), fd_(std::move(fd)) {}
  int open_beneath(const std::string& path, int flags, mode_t mode) const;  // -1 and errno
  Result<Fd> open_folder(std::string_view path, bool make) const;
  Failure failure(std::string_view doing, std::string_view path, int error) const;

  std::string directory_;
  Fd fd_;
  mutable bool has_openat2_ = true;
};

}  // namespace muster::store
