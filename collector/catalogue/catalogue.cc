#include "collector/catalogue/catalogue.h"

#include <array>
#include <optional>
#include <sqlite3.h>
#include <string_view>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace muster::catalogue {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 2;  // of the table and its summaries
constexpr int kPatienceMs = 50;

// Where locks and mappings may not be what SQLite needs.
bool is_remote(const fs::path& directory) {
  constexpr std::array<unsigned long, 11> kRemote = {0x6969 /* NFS */,
                                                     0xFF534D42 /* CIFS */,
                                                     0xFE534D42 /* SMB2 */,
                                                     0x517B /* SMB */,
                                                     0x65735546 /* FUSE */,
                                                     0x0BD00BD0 /* Lustre */,
                                                     0x47504653 /* GPFS */,
                                                     0x01021997 /* 9p */,
                                                     0x00C36400 /* Ceph */,
                                                     0x19830326 /* BeeGFS */,
                                                     0x5346414F /* AFS */};
  struct statfs info {};
  if (::statfs(directory.c_str(), &info) != 0) return true;
  for (const unsigned long kind : kRemote) {
    if (static_cast<unsigned long>(info.f_type) == kind) return true;
  }
  return false;
}

// Somebody else's would show us what they like.
bool is_ours_or_missing(const fs::path& file) {
  struct stat info {};
  if (::lstat(file.c_str(), &info) != 0) return true;
  return S_ISREG(info.st_mode) && info.st_uid == ::geteuid();
}

class Statement {
 public:
  Statement(sqlite3* database, const char* text) {
    if (::sqlite3_prepare_v2(database, text, -1, &statement_, nullptr) != SQLITE_OK) {
      statement_ = nullptr;
    }
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { ::sqlite3_finalize(statement_); }

  explicit operator bool() const { return statement_ != nullptr; }
  int step() { return ::sqlite3_step(statement_); }
  void reset() { ::sqlite3_reset(statement_); }

  void bind(int at, std::string_view text) {
    ::sqlite3_bind_text(statement_, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }
  void bind(int at, std::int64_t number) { ::sqlite3_bind_int64(statement_, at, number); }

  std::string text(int column) const {
    const unsigned char* bytes = ::sqlite3_column_text(statement_, column);
    const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column));
    return bytes == nullptr ? std::string()
                            : std::string(reinterpret_cast<const char*>(bytes), size);
  }
  std::int64_t number(int column) const { return ::sqlite3_column_int64(statement_, column); }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

bool run(sqlite3* database, const char* text) {
  return ::sqlite3_exec(database, text, nullptr, nullptr, nullptr) == SQLITE_OK;
}

// nullopt: it is no database, or damaged.
std::optional<int> version_of(sqlite3* database) {
  Statement asked(database, "PRAGMA user_version");
  if (!asked || asked.step() != SQLITE_ROW) return std::nullopt;
  return static_cast<int>(asked.number(0));
}

}  // namespace

struct Catalogue::Database {
  sqlite3* handle = nullptr;

  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() { ::sqlite3_close(handle); }

  bool open(const fs::path& file) {
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (::sqlite3_open_v2(file.c_str(), &handle, flags, nullptr) != SQLITE_OK) return false;
    ::sqlite3_busy_timeout(handle, kPatienceMs);
    // What a crash takes from a cache is read again.
    run(handle, "PRAGMA synchronous=OFF");
    return true;
  }

  // Whether it can be used; else it may be `damaged`, and is better made anew.
  bool prepare(bool& damaged) {
    const auto version = version_of(handle);
    if (version && *version == kVersion) return true;
    const int error = ::sqlite3_errcode(handle);
    damaged = (!version && (error == SQLITE_NOTADB || error == SQLITE_CORRUPT)) ||
              (version && *version != 0);
    if (damaged || !version) return false;
    return run(handle,
               "BEGIN IMMEDIATE;"
               "CREATE TABLE IF NOT EXISTS run(name TEXT PRIMARY KEY, mtime_ns INTEGER, "
               "inode INTEGER, size INTEGER, created_at TEXT, summary TEXT) WITHOUT ROWID;"
               "PRAGMA user_version=2;"
               "COMMIT");
  }
};

fs::path catalogue_file(const fs::path& runs_dir) {
  return runs_dir / ".muster-catalogue.db";
}

Catalogue::Catalogue(const fs::path& runs_dir) {
  const fs::path file = catalogue_file(runs_dir);
  if (is_remote(runs_dir) || !is_ours_or_missing(file)) return;
  for (const bool again : {false, true}) {
    auto database = std::make_unique<Database>();
    if (!database->open(file)) return;
    bool damaged = false;
    if (database->prepare(damaged)) {
      database_ = std::move(database);
      return;
    }
    if (!damaged || again) return;
    database.reset();
    ::unlink(file.c_str());
  }
}

Catalogue::~Catalogue() = default;

Entries Catalogue::read() {
  Entries entries;
  if (!database_) return entries;
  Statement all(database_->handle,
                "SELECT name, mtime_ns, inode, size, created_at, summary FROM run ORDER BY name");
  if (!all) return entries;
  int status = SQLITE_ROW;
  while ((status = all.step()) == SQLITE_ROW) {
    Entry entry;
    entry.mark = {all.number(1), static_cast<std::uint64_t>(all.number(2)),
                  static_cast<std::uint64_t>(all.number(3))};
    entry.created_at = all.text(4);
    entry.summary = all.text(5);
    entries.emplace_hint(entries.end(), all.text(0), std::move(entry));
  }
  // A damaged page: what was read before it may be damaged, too.
  if (status != SQLITE_DONE) {
    entries.clear();
    if (status == SQLITE_CORRUPT) run(database_->handle, "PRAGMA user_version=-1");
  }
  return entries;
}

void Catalogue::update(const Entries& changed, const std::vector<std::string>& gone) {
  if (!database_ || (changed.empty() && gone.empty())) return;
  sqlite3* handle = database_->handle;
  if (!run(handle, "BEGIN IMMEDIATE")) return;  // somebody else does it now
  Statement put(handle, "INSERT OR REPLACE INTO run VALUES(?,?,?,?,?,?)");
  Statement remove(handle, "DELETE FROM run WHERE name=?");
  bool fine = put && remove;
  for (auto at = changed.begin(); fine && at != changed.end(); ++at) {
    const auto& [name, entry] = *at;
    put.bind(1, name);
    put.bind(2, entry.mark.mtime_ns);
    put.bind(3, static_cast<std::int64_t>(entry.mark.inode));
    put.bind(4, static_cast<std::int64_t>(entry.mark.size));
    put.bind(5, entry.created_at);
    put.bind(6, entry.summary);
    fine = put.step() == SQLITE_DONE;
    put.reset();
  }
  for (auto at = gone.begin(); fine && at != gone.end(); ++at) {
    remove.bind(1, *at);
    fine = remove.step() == SQLITE_DONE;
    remove.reset();
  }
  if (!fine || !run(handle, "COMMIT")) run(handle, "ROLLBACK");
}

}  // namespace muster::catalogue
