// What the run.json files of a runs directory say in short, so that thousands of them need not be
// read to list them: runs/.muster-catalogue.db.
//
// A cache and nothing else.  The files are the truth: an entry counts only while its run.json is
// the very same file.  The database may be deleted at any time; where it cannot be had (another
// user's directory, a network file system, a lock, a damaged file) everything works without it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "muster/result.h"

namespace muster::sqlite {
class Database;
}

namespace muster::catalogue {

// Tells one run.json from another: it is only ever replaced by rename.
struct FileMark {
  std::int64_t mtime_ns = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;

  friend bool operator==(const FileMark&, const FileMark&) = default;
};

struct Entry {
  FileMark mark;
  std::string created_at;  // sorts as it is
  std::string summary;     // whatever its writer needs; "" while the run goes on
};

using Entries = std::map<std::string, Entry, std::less<>>;  // by the name of the run's directory

class Catalogue {
 public:
  // Of that runs directory; made when there is none.  One that cannot be had is empty and takes
  // nothing.
  explicit Catalogue(const std::filesystem::path& runs_dir);
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;
  ~Catalogue();

  bool is_open() const { return database_ != nullptr; }
  Entries read();
  // Adds or replaces some, and removes others, in one transaction; best effort.
  void update(const Entries& changed, const std::vector<std::string>& gone);

 private:
  Result<Entries> read_all();
  Result<> write(const Entries& changed, const std::vector<std::string>& gone);

  std::unique_ptr<sqlite::Database> database_;
};

// Where it lies.
std::filesystem::path catalogue_file(const std::filesystem::path& runs_dir);

}  // namespace muster::catalogue
