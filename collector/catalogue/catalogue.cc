#include "collector/catalogue/catalogue.h"

#include <chrono>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/sqlite/local_disk.h"
#include "collector/sqlite/sqlite.h"

namespace muster::catalogue {
namespace {

namespace fs = std::filesystem;
using sqlite::Database;

constexpr int kVersion = 2;  // of the table and its summaries
constexpr std::chrono::milliseconds kPatience{50};

// Somebody else's would show us what they like.
bool is_ours_or_missing(const fs::path& file) {
  struct stat info {};
  if (::lstat(file.c_str(), &info) != 0) return true;
  return S_ISREG(info.st_mode) && info.st_uid == ::geteuid();
}

// Whether it can be used; else it may be `damaged`, and is better made anew.
bool prepare(Database& database, bool& damaged) {
  const auto version = database.whole("PRAGMA user_version");
  if (version && *version == kVersion) return true;
  damaged = version ? *version != 0 : database.is_damaged();
  if (damaged || !version) return false;
  return database
      .run(
          "BEGIN IMMEDIATE;"
          "CREATE TABLE IF NOT EXISTS run(name TEXT PRIMARY KEY, mtime_ns INTEGER, "
          "inode INTEGER, size INTEGER, created_at TEXT, summary TEXT) WITHOUT ROWID;"
          "PRAGMA user_version=" +
          std::to_string(kVersion) + "; COMMIT")
      .has_value();
}

}  // namespace

fs::path catalogue_file(const fs::path& runs_dir) {
  return runs_dir / ".muster-catalogue.db";
}

Catalogue::Catalogue(const fs::path& runs_dir) {
  const fs::path file = catalogue_file(runs_dir);
  if (!sqlite::keeps_databases(runs_dir) || !is_ours_or_missing(file)) return;
  for (const bool again : {false, true}) {
    auto opened = Database::open(file, {Database::Mode::kWrite, kPatience, false});
    if (!opened) return;
    // What a crash takes from a cache is read again.
    static_cast<void>(opened->run("PRAGMA synchronous=OFF"));
    bool damaged = false;
    if (prepare(*opened, damaged)) {
      database_ = std::make_unique<Database>(std::move(*opened));
      return;
    }
    if (!damaged || again) return;
    *opened = Database();
    ::unlink(file.c_str());
  }
}

Catalogue::~Catalogue() = default;

Entries Catalogue::read() {
  if (!database_) return {};
  auto entries = read_all();
  if (entries) return std::move(*entries);
  // A damaged page: what was read before it may be damaged, too.
  if (database_->is_damaged()) static_cast<void>(database_->run("PRAGMA user_version=-1"));
  return {};
}

Result<Entries> Catalogue::read_all() {
  Entries entries;
  MUSTER_TRY_ASSIGN(
      sqlite::Statement all,
      database_->prepare(
          "SELECT name, mtime_ns, inode, size, created_at, summary FROM run ORDER BY name"));
  while (true) {
    MUSTER_TRY_ASSIGN(const bool found, all.step());
    if (!found) return entries;
    Entry entry;
    entry.mark = {all.whole(1), static_cast<std::uint64_t>(all.whole(2)),
                  static_cast<std::uint64_t>(all.whole(3))};
    entry.created_at = all.text(4);
    entry.summary = all.text(5);
    entries.emplace_hint(entries.end(), all.text(0), std::move(entry));
  }
}

void Catalogue::update(const Entries& changed, const std::vector<std::string>& gone) {
  if (!database_ || (changed.empty() && gone.empty())) return;
  if (!database_->run("BEGIN IMMEDIATE")) return;  // somebody else does it now
  if (!write(changed, gone) || !database_->run("COMMIT")) {
    static_cast<void>(database_->run("ROLLBACK"));
  }
}

Result<> Catalogue::write(const Entries& changed, const std::vector<std::string>& gone) {
  MUSTER_TRY_ASSIGN(sqlite::Statement put,
                    database_->prepare("INSERT OR REPLACE INTO run VALUES(?,?,?,?,?,?)"));
  MUSTER_TRY_ASSIGN(sqlite::Statement remove, database_->prepare("DELETE FROM run WHERE name=?"));
  for (const auto& [name, entry] : changed) {
    MUSTER_TRY(put.bind(1, name)
                   .bind(2, entry.mark.mtime_ns)
                   .bind(3, static_cast<std::int64_t>(entry.mark.inode))
                   .bind(4, static_cast<std::int64_t>(entry.mark.size))
                   .bind(5, entry.created_at)
                   .bind(6, entry.summary)
                   .run());
  }
  for (const std::string& name : gone) MUSTER_TRY(remove.bind(1, name).run());
  return {};
}

}  // namespace muster::catalogue
