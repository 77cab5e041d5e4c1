#include "launcher/data/cache.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "launcher/data/transfer_manifest.h"

namespace muster::data {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr const char* kNote = "manifest.json";
constexpr const char* kInUse = "in-use";
constexpr const char* kTrash = ".trash";

Failure data_error(const std::string& doing, int error_number = errno) {
  return Failure(system_error(ErrorCode::kData, doing, error_number));
}

std::string note_text(const CacheNote& note) {
  const json text = {{"source", note.source},
                     {"version", note.version},
                     {"files", note.files},
                     {"bytes", note.bytes},
                     {"made_at", note.made_at}};
  return text.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

CacheNote read_note(const fs::path& folder) {
  CacheNote note;
  const auto text = read_file(folder / kNote, 1 << 20);
  if (!text) return note;
  const json given = json::parse(*text, nullptr, false);
  if (!given.is_object()) return note;
  try {
    note.source = given.value("source", "");
    note.version = given.value("version", "");
    note.files = given.value("files", std::uint64_t{0});
    note.bytes = given.value("bytes", std::uint64_t{0});
    note.made_at = given.value("made_at", "");
  } catch (const json::exception&) {
    return {};
  }
  return note;
}

bool has_no_locks(int error_number) {
  return error_number == ENOLCK || error_number == ENOSYS || error_number == EOPNOTSUPP;
}

// Whether somebody holds a lock on it.
bool is_locked(const fs::path& file) {
  const Fd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  return fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

// A maker locks the one; users lock the other.
fs::path lock_of(const CacheEntry& entry) {
  return entry.complete ? entry.folder / kInUse : fs::path(entry.folder).replace_extension(".lock");
}

std::uint64_t disk_bytes(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    struct stat info {};
    if (::lstat(at->path().c_str(), &info) == 0) {
      bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
    }
  }
  return bytes;
}

std::chrono::system_clock::time_point time_of(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return std::chrono::system_clock::from_time_t(info.st_mtim.tv_sec);
}

// Every folder from `folder` on, before what is in it is read: by then it must be accessible.
void for_each_folder(const fs::path& folder, const std::function<void(const fs::path&)>& act) {
  std::error_code error;
  if (fs::symlink_status(folder, error).type() != fs::file_type::directory) return;
  act(folder);
  std::vector<fs::path> below;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->symlink_status(ignored).type() == fs::file_type::directory) below.push_back(at->path());
  }
  for (const fs::path& each : below) for_each_folder(each, act);
}

void change_mode(const fs::path& path, mode_t without, mode_t with) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return;
  const mode_t mode = (info.st_mode & 07777 & ~without) | with;
  if (mode != (info.st_mode & 07777)) static_cast<void>(::chmod(path.c_str(), mode));
}

// Files are made read-only; so that nobody adds or removes names, folders are too.
void seal(const fs::path& folder) {
  for_each_folder(folder, [](const fs::path& each) { change_mode(each, 0222, 0500); });
}

Result<> remove_sealed(const fs::path& folder) {
  make_writable(folder);
  return remove_tree(folder);
}

// Out of the way at once, then gone: killed in between, it is still no entry.
bool remove_entry(const CacheEntry& entry) {
  if (entry.folder.extension() == kTrash) return static_cast<bool>(remove_sealed(entry.folder));
  Fd lock(::open(lock_of(entry).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0 && !has_no_locks(errno)) return false;
  const fs::path trash = entry.folder.string() + "." + std::to_string(::getpid()) + kTrash;
  if (::rename(entry.folder.c_str(), trash.c_str()) != 0) return false;
  lock.reset();  // nobody is to wait for the rest
  return static_cast<bool>(remove_sealed(trash));
}

}  // namespace

Result<> DataCache::prepare() const {
  if (auto made = make_directories(root_); !made) {
    Error error = std::move(made).error();
    error.code = ErrorCode::kData;
    return Failure(std::move(error).with_hint(
        "the cache of inputs must be writable; MUSTER_CACHE_DIR names another place"));
  }
  ::chmod(root_.c_str(), 0700);
  if (::access(root_.c_str(), W_OK | X_OK) == 0) return {};
  Error error = system_error(ErrorCode::kData, "writing to the cache " + root_.string());
  return Failure(std::move(error).with_hint("MUSTER_CACHE_DIR names another place"));
}

fs::path DataCache::entry(const std::string& source, const std::string& version) const {
  return root_ / (short_hash(source) + "-" + version);
}

std::vector<fs::path> DataCache::entries(const std::string& source,
                                         const std::string& version) const {
  const fs::path first = entry(source, version);
  const std::string further = first.filename().string() + "-";
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(root_, error), end; !error && at != end; at.increment(error)) {
    const fs::path& path = at->path();
    if (!path.extension().empty()) continue;
    if (path == first || path.filename().string().starts_with(further)) found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  return found;
}

fs::path DataCache::free_entry(const std::string& source, const std::string& version) const {
  const fs::path first = entry(source, version);
  fs::path path = first;
  std::error_code ignored;
  for (int number = 2; fs::exists(fs::symlink_status(path, ignored)); ++number) {
    path = first.string() + "-" + std::to_string(number);
  }
  return path;
}

fs::path DataCache::part(const std::string& source) const {
  return root_ / (short_hash(source) + ".part");
}

fs::path DataCache::lock_file(const std::string& source) const {
  return root_ / (short_hash(source) + ".lock");
}

Result<> DataCache::complete(const fs::path& part, const fs::path& entry,
                             const CacheNote& note) const {
  static_cast<void>(remove_tree(ledgers(part)));
  MUSTER_TRY(replace_file(part / kNote, note_text(note)));
  MUSTER_TRY(open_file(part / kInUse, O_WRONLY | O_CREAT, 0600));
  seal(content(part));
  if (::rename(part.c_str(), entry.c_str()) != 0) {
    return data_error("renaming " + part.string() + " to " + entry.string());
  }
  return {};
}

Result<CacheLock> CacheLock::acquire(
    const fs::path& file, const std::string& holder,
    const std::function<void(const std::string& holder)>& waiting) {
  while (true) {
    Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) return data_error("opening " + file.string());
    for (int tries = 0; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && !has_no_locks(errno);
         ++tries) {
      if (errno != EWOULDBLOCK && errno != EINTR) return data_error("locking " + file.string());
      if (tries == 1) {  // not at once: who lists the cache looks at each lock for a moment
        const auto text = read_file(file, 1 << 16);
        waiting(text && !text->empty() ? without_controls(*text) : "another process");
      }
      std::this_thread::sleep_for(50ms);
    }
    // The file may have been removed between.
    struct stat ours {};
    struct stat there {};
    if (::fstat(fd.get(), &ours) == 0 && ::stat(file.c_str(), &there) == 0 &&
        ours.st_ino == there.st_ino && ours.st_dev == there.st_dev) {
      if (::ftruncate(fd.get(), 0) == 0) static_cast<void>(write_all(fd, holder));
      return CacheLock(std::move(fd));
    }
  }
}

Result<Fd> use_entry(const fs::path& entry) {
  const fs::path file = entry / kInUse;
  Fd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return data_error("using the cache's entry " + entry.string());
  int locked = 0;
  do {
    locked = ::flock(fd.get(), LOCK_SH);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0 && !has_no_locks(errno)) {
    return data_error("locking " + file.string());
  }
  // By its time the entries are ranked.
  ::futimens(fd.get(), nullptr);
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0)
    return data_error("using the cache's entry " + entry.string());
  return fd;
}

void make_writable(const fs::path& folder) {
  for_each_folder(folder, [](const fs::path& each) { change_mode(each, 0, 0700); });
}

bool reopen_entry(const fs::path& entry, const fs::path& part) {
  // Whoever uses it holds a shared lock; without its file nobody does.
  const Fd lock(::open((entry / kInUse).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return false;
  if (!remove_sealed(part) || ::rename(entry.c_str(), part.c_str()) != 0) return false;
  make_writable(part);
  return true;
}

Result<std::vector<CacheEntry>> list_entries(const fs::path& root) {
  std::vector<CacheEntry> entries;
  std::error_code error;
  fs::directory_iterator folders(root, error);
  if (error == std::errc::no_such_file_or_directory) return entries;
  if (error) return data_error("reading the cache " + root.string(), error.value());
  for (const auto& folder : folders) {
    if (!folder.is_directory(error)) continue;
    CacheEntry entry;
    entry.folder = folder.path();
    const std::string extension = entry.folder.extension();
    entry.complete = extension.empty();
    entry.note = read_note(entry.folder);
    entry.in_use = is_locked(lock_of(entry));
    entry.disk_bytes = disk_bytes(entry.folder);
    entry.used_at = time_of(entry.complete ? entry.folder / kInUse : entry.folder);
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& one, const auto& other) {
    return one.used_at != other.used_at ? one.used_at > other.used_at : one.folder < other.folder;
  });
  return entries;
}

Result<Pruned> prune_entries(const fs::path& root, std::uint64_t most) {
  MUSTER_TRY_ASSIGN(std::vector<CacheEntry> entries, list_entries(root));
  Pruned pruned;
  for (const CacheEntry& entry : entries) pruned.left_bytes += entry.disk_bytes;
  // From the end: half-made ones first.
  std::stable_partition(entries.begin(), entries.end(),
                        [](const CacheEntry& entry) { return entry.complete; });
  for (auto at = entries.rbegin(); at != entries.rend(); ++at) {
    const bool wanted = pruned.left_bytes > most || !at->complete;
    if (wanted && !at->in_use && remove_entry(*at)) {
      pruned.left_bytes -= at->disk_bytes;
      pruned.removed.push_back(std::move(*at));
    } else {
      pruned.left.push_back(std::move(*at));
    }
  }
  return pruned;
}

}  // namespace muster::data
