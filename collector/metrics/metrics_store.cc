#include "collector/metrics/metrics_store.h"

#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "collector/metrics/database_place.h"
#include "collector/sqlite/local_disk.h"

namespace muster::metrics {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "muster-metrics-";
constexpr std::time_t kJustMadeSeconds = 60;  // it may not be locked yet

// Bytes 18 and 19 of SQLite's header: 1 where the file alone is the database, 2 where a log beside
// it may hold more.
bool stands_alone(const fs::path& file) {
  const auto head = open_file(file, O_RDONLY);
  if (!head) return false;
  char bytes[20] = {};
  return ::read(head->get(), bytes, sizeof bytes) == sizeof bytes && bytes[18] == 1 &&
         bytes[19] == 1;
}

Result<> copy_and_rename(const fs::path& from, const fs::path& incoming, const fs::path& to) {
  MUSTER_TRY(make_directories(incoming.parent_path()));
  std::error_code error;
  fs::copy_file(from, incoming, fs::copy_options::overwrite_existing, error);
  if (error) {
    return Failure(
        system_error(ErrorCode::kRunDirectory, "writing " + incoming.string(), error.value()));
  }
  if (::rename(incoming.c_str(), to.c_str()) != 0) {
    Error failed = system_error(ErrorCode::kRunDirectory, "writing " + to.string());
    ::unlink(incoming.c_str());
    return Failure(std::move(failed));
  }
  return {};
}

// What processes that were killed have left: the lock of each has gone with it.
void sweep(const fs::path& disk) {
  std::error_code error;
  for (fs::directory_iterator at(disk, error), end; !error && at != end; at.increment(error)) {
    if (!at->path().filename().string().starts_with(kPrefix)) continue;
    auto directory = open_file(at->path(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat info {};
    if (!directory || ::fstat(directory->get(), &info) != 0 || info.st_uid != ::geteuid() ||
        std::time(nullptr) - info.st_mtime < kJustMadeSeconds ||
        ::flock(directory->get(), LOCK_EX | LOCK_NB) != 0) {
      continue;
    }
    static_cast<void>(remove_tree(at->path()));
  }
}

}  // namespace

bool MetricsStore::exists() const {
  std::error_code error;
  return fs::exists(run_.metrics_db(), error);
}

// Files that root leaves in a user's run directory would be in the user's way.
bool MetricsStore::may_be_in_place() const {
  struct stat status {};
  return ::stat(run_.root().c_str(), &status) == 0 && status.st_uid == ::geteuid() &&
         ::access(run_.root().c_str(), W_OK | X_OK) == 0 && sqlite::keeps_databases(run_.root());
}

Result<MetricsDb*> MetricsStore::database() {
  if (database_) return &*database_;
  if (may_be_in_place() && open_in_place()) return &*database_;
  MUSTER_TRY(open_elsewhere());
  return &*database_;
}

Result<> MetricsStore::open_in_place() {
  auto opened = MetricsDb::open(run_.metrics_db(), MetricsDb::Sharing::kShared);
  if (!opened && is_unusable_database(run_.metrics_db())) {
    MUSTER_TRY(set_aside());
    opened = MetricsDb::open(run_.metrics_db(), MetricsDb::Sharing::kShared);
  }
  if (!opened) return Failure(std::move(opened).error());
  database_.emplace(std::move(*opened));
  return {};
}

Result<> MetricsStore::set_aside() {
  const fs::path file = run_.metrics_db();
  fs::path aside;
  for (int i = 1; aside.empty() || ::access(aside.c_str(), F_OK) == 0; ++i) {
    aside = run_.root() / ("metrics-damaged-" + std::to_string(i) + ".db");
  }
  if (::rename(file.c_str(), aside.c_str()) != 0) {
    return Failure(system_error(ErrorCode::kRunDirectory, "setting " + file.string() + " aside"));
  }
  for (const char* end : {"-wal", "-shm", "-journal"}) ::unlink((file.string() + end).c_str());
  notes_.push_back("metrics.db was damaged, or not Muster's: it is now " +
                   aside.filename().string() + ", and the metrics are taken from the streams anew");
  return {};
}

bool MetricsStore::take_snapshot(const fs::path& to) const {
  if (!stands_alone(run_.metrics_db())) return false;
  std::error_code error;
  fs::copy_file(run_.metrics_db(), to, error);
  if (!error && !is_unusable_database(to)) return true;
  fs::remove(to, error);
  return false;
}

Result<> MetricsStore::make_temporary() {
  MUSTER_TRY_ASSIGN(const fs::path disk, own_disk(environment_));
  sweep(disk);
  MUSTER_TRY_ASSIGN(TemporaryDirectory directory,
                    TemporaryDirectory::create(disk, std::string(kPrefix)));
  // Without a lock it is swept when it has not changed for a while; all of it can be made anew.
  if (auto opened = open_file(directory.path(), O_RDONLY | O_DIRECTORY)) {
    ::flock(opened->get(), LOCK_EX | LOCK_NB);
    in_use_ = std::move(*opened);
  }
  temporary_.emplace(std::move(directory));
  return {};
}

Result<> MetricsStore::open_elsewhere() {
  MUSTER_TRY(make_temporary());
  const fs::path file = temporary_->path() / "metrics.db";
  take_snapshot(file);
  MUSTER_TRY_ASSIGN(MetricsDb opened, MetricsDb::open(file, MetricsDb::Sharing::kShared));
  database_.emplace(std::move(opened));
  return {};
}

Result<> MetricsStore::publish() {
  if (!database_ || !temporary_ || ::access(run_.root().c_str(), W_OK) != 0) return {};
  const fs::path snapshot = temporary_->path() / "snapshot.db";
  std::error_code ignored;
  fs::remove(snapshot, ignored);
  MUSTER_TRY(database_->write_copy(snapshot));
  auto done = copy_and_rename(snapshot, run_.state() / "metrics.db.incoming", run_.metrics_db());
  fs::remove(snapshot, ignored);
  return done;
}

Result<> MetricsStore::finish() {
  if (!database_) return {};
  if (temporary_) return publish();
  database_->settle();
  return {};
}

}  // namespace muster::metrics
