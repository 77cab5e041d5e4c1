// The cache of downloaded inputs: one folder for each version of each source, complete or not
// there.
//
//   <source>-<version>/      a complete entry: content/, manifest.json, and in-use, which runs lock
//   <source>-<version>-2/    another of it, made while a run used the first, which was changed
//   <source>.part/           one that is being made, or was when its maker was ended
//   <source>.lock            held by its maker
//   <name>.trash             one that is being removed
//
// An entry appears by one rename of its whole folder, so that nobody can take a half-made one; it
// is read-only from then on, and nothing in it changes while a run uses it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::data {

// What an entry says of itself.
struct CacheNote {
  std::string source;   // "datastore://blob/digits"
  std::string version;  // 16 hex digits
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::string made_at;  // UTC
};

class DataCache {
 public:
  explicit DataCache(std::filesystem::path root) : root_(std::move(root)) {}

  const std::filesystem::path& root() const { return root_; }
  // Makes the folder, for its owner alone.  Errors: kData.
  Result<> prepare() const;

  // Where the first one is that is made.
  std::filesystem::path entry(const std::string& source, const std::string& version) const;
  // Those of this version that are there, the first one first.
  std::vector<std::filesystem::path> entries(const std::string& source,
                                             const std::string& version) const;
  // A name that nobody has yet.
  std::filesystem::path free_entry(const std::string& source, const std::string& version) const;
  std::filesystem::path part(const std::string& source) const;
  std::filesystem::path lock_file(const std::string& source) const;

  static std::filesystem::path content(const std::filesystem::path& entry) {
    return entry / "content";
  }
  static std::filesystem::path ledgers(const std::filesystem::path& part) {
    return part / "ledgers";
  }

  // Turns what was made into the entry, without write permission.
  Result<> complete(const std::filesystem::path& part, const std::filesystem::path& entry,
                    const CacheNote& note) const;

 private:
  std::filesystem::path root_;
};

// The right to make what a lock file stands for.  The one who holds it writes who it is into the
// file; the others wait and are told.  Where the file system has no locks it is held by everybody.
class CacheLock {
 public:
  static Result<CacheLock> acquire(const std::filesystem::path& file, const std::string& holder,
                                   const std::function<void(const std::string& holder)>& waiting);

 private:
  explicit CacheLock(Fd file) : file_(std::move(file)) {}
  Fd file_;
};

// Says that a run uses the entry, for as long as the descriptor lives, and when.  Errors: kData,
// also when the entry was removed.
Result<Fd> use_entry(const std::filesystem::path& entry);

// Makes a damaged entry the half-made one that is mended next, and gives back its owner's write
// permission.  False, and nothing is done, while a run uses it or where nobody can tell.
bool reopen_entry(const std::filesystem::path& entry, const std::filesystem::path& part);

// Lets the owner write into the folders below again.
void make_writable(const std::filesystem::path& folder);

struct CacheEntry {
  std::filesystem::path folder;
  CacheNote note;
  bool complete = false;
  bool in_use = false;  // by a run, or by its maker
  std::uint64_t disk_bytes = 0;
  std::chrono::system_clock::time_point used_at;
};

// The entries, those used last first.  No cache is an empty one.
Result<std::vector<CacheEntry>> list_entries(const std::filesystem::path& root);

struct Pruned {
  std::vector<CacheEntry> removed;
  std::vector<CacheEntry> left;
  std::uint64_t left_bytes = 0;
};

// Removes half-made entries and then those not used for longest, until no more than `most` bytes
// are left or all that is left is in use.
Result<Pruned> prune_entries(const std::filesystem::path& root, std::uint64_t most);

}  // namespace muster::data
