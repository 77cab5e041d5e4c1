// What a look at a file of an output folder tells: enough to see whether it has changed.
#pragma once

#include <cstdint>
#include <string>
#include <sys/stat.h>

namespace muster::outputs {

struct FileFacts {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::uint32_t mode = 0;  // with the file's type
  std::uint64_t links = 1;

  bool is_link() const { return S_ISLNK(mode); }
  friend bool operator==(const FileFacts&, const FileFacts&) = default;
};

inline FileFacts facts_of(const struct stat& info) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  FileFacts facts;
  facts.device = info.st_dev;
  facts.inode = info.st_ino;
  facts.size = static_cast<std::uint64_t>(info.st_size);
  facts.mtime_ns = info.st_mtim.tv_sec * kSecond + info.st_mtim.tv_nsec;
  facts.ctime_ns = info.st_ctim.tv_sec * kSecond + info.st_ctim.tv_nsec;
  facts.mode = info.st_mode;
  facts.links = info.st_nlink;
  return facts;
}

// Whether its bytes are the same, as far as facts can tell.  chmod and ln change the ctime alone.
inline bool same_content(const FileFacts& one, const FileFacts& other) {
  return one.device == other.device && one.inode == other.inode && one.size == other.size &&
         one.mtime_ns == other.mtime_ns &&
         (one.ctime_ns == other.ctime_ns || one.mode != other.mode || one.links != other.links);
}

struct FoundFile {
  std::string path;  // "outputs/deep/model.pt": with the folder's name in the run directory
  FileFacts facts;
  std::string target = {};  // of a symbolic link
};

}  // namespace muster::outputs
