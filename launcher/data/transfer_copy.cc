#include "launcher/data/transfer_copy.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <mutex>
#include <optional>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <thread>
#include <unistd.h>
#include <unordered_set>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "launcher/data/transfer_ledger.h"

namespace muster::data {
namespace fs = std::filesystem;
namespace {

// Also what is noted in the ledger at once, and what is copied again after an end.
constexpr std::uint64_t kChunk = std::uint64_t{8} << 20;
constexpr std::size_t kFilesAtOnce = 16;  // taken by a worker in one go

Failure data_error(const std::string& doing, int error_number = errno) {
  return Failure(system_error(ErrorCode::kData, doing, error_number));
}

// Without a copy in this process where the kernel can; some file systems cannot.
Result<> copy_extent(const Fd& source, const Fd& target, std::uint64_t begin, std::uint64_t end,
                     const std::string& doing, TransferProgress& progress) {
  auto from = static_cast<off64_t>(begin);
  auto to = static_cast<off64_t>(begin);
  bool by_kernel = true;
  std::vector<char> buffer;
  while (from < static_cast<off64_t>(end)) {
    const auto left = static_cast<std::size_t>(static_cast<off64_t>(end) - from);
    ssize_t got = -1;
    if (by_kernel) {
      got = ::copy_file_range(source.get(), &from, target.get(), &to, left, 0);
      if (got < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EPERM ||
                      errno == EOPNOTSUPP)) {
        by_kernel = false;
        continue;
      }
    } else {
      buffer.resize(std::min<std::size_t>(left, 1 << 18));
      got = ::pread(source.get(), buffer.data(), std::min(left, buffer.size()), from);
      for (ssize_t put = 0; got > 0 && put < got;) {
        const ssize_t written =
            ::pwrite(target.get(), buffer.data() + put, static_cast<std::size_t>(got - put), to);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return data_error(doing);
        put += written;
        to += written;
      }
      if (got > 0) from += got;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return data_error(doing);
    if (got == 0) return fail(ErrorCode::kData, doing + ": the file became shorter meanwhile");
    progress.bytes_done(static_cast<std::uint64_t>(got));
  }
  return {};
}

// From `begin` to `end`; holes are left out.
Result<> copy_range(const Fd& source, const Fd& target, std::uint64_t begin, std::uint64_t end,
                    bool sparse, const std::string& doing, TransferProgress& progress) {
  while (begin < end) {
    std::uint64_t data = begin;
    std::uint64_t hole = end;
    if (sparse) {
      const off64_t found = ::lseek64(source.get(), static_cast<off64_t>(begin), SEEK_DATA);
      if (found < 0 && errno == ENXIO) break;  // nothing but a hole up to the end
      if (found >= 0) {
        data = std::min(static_cast<std::uint64_t>(found), end);
        const off64_t next = ::lseek64(source.get(), found, SEEK_HOLE);
        if (next >= 0) hole = std::min(static_cast<std::uint64_t>(next), end);
      }
    }
    progress.bytes_done(data - begin);
    if (data >= end) return {};
    MUSTER_TRY(copy_extent(source, target, data, hole, doing, progress));
    begin = hole;
  }
  progress.bytes_done(end - begin);
  return {};
}

// Whether the last chunk that the ledger speaks of is there as the source has it.
bool last_chunk_agrees(const Fd& source, const Fd& target, std::uint64_t done) {
  const std::uint64_t length = std::min(done, kChunk);
  std::vector<char> ours(length);
  std::vector<char> theirs(length);
  const auto offset = static_cast<off64_t>(done - length);
  return ::pread(source.get(), theirs.data(), length, offset) == static_cast<ssize_t>(length) &&
         ::pread(target.get(), ours.data(), length, offset) == static_cast<ssize_t>(length) &&
         std::memcmp(ours.data(), theirs.data(), length) == 0;
}

bool is_as_listed(const struct stat& info, const ManifestEntry& entry) {
  return static_cast<std::uint64_t>(info.st_size) == entry.size &&
         std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec == entry.mtime_ns;
}

class CopyJob {
 public:
  CopyJob(const Manifest& manifest, fs::path from, fs::path to, fs::path ledgers,
          TransferProgress& progress)
      : from_(std::move(from)),
        to_(std::move(to)),
        ledgers_(std::move(ledgers)),
        progress_(progress) {
    for (const ManifestEntry& entry : manifest.entries) {
      if (entry.kind == ManifestEntry::Kind::kFile) files_.push_back(&entry);
    }
    // The large ones first, so that none is left when all others are done.
    std::stable_partition(files_.begin(), files_.end(),
                          [](const auto* entry) { return entry->size > kChunk; });
  }

  Result<CopyCounts> run() {
    const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
    const std::size_t most = std::clamp<std::size_t>(std::size_t{cores} * 2, 4, 16);
    std::vector<std::thread> threads;
    for (std::size_t each = 1; each < std::min(most, files_.size()); ++each) {
      threads.emplace_back([this] { work(); });
    }
    work();
    for (std::thread& each : threads) each.join();
    if (error_) return Failure(std::move(*error_));
    return counts_;
  }

 private:
  void work() {
    CopyCounts counts;
    while (!failed_) {
      const std::size_t begin = next_.fetch_add(kFilesAtOnce);
      if (begin >= files_.size()) break;
      const std::size_t end = std::min(begin + kFilesAtOnce, files_.size());
      for (std::size_t at = begin; at < end && !failed_; ++at) {
        if (auto copied = copy(*files_[at], counts); !copied) failed(std::move(copied).error());
      }
    }
    const std::lock_guard lock(mutex_);
    counts_.files += counts.files;
    counts_.bytes += counts.bytes;
    counts_.kept_files += counts.kept_files;
    counts_.kept_bytes += counts.kept_bytes;
  }

  void failed(Error error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_ = true;
  }

  Result<> copy(const ManifestEntry& entry, CopyCounts& counts) {
    const fs::path target = to_ / entry.path;
    progress_.at(entry.path);
    if (is_done(target, entry)) {
      ++counts.kept_files;
      counts.kept_bytes += entry.size;
      progress_.bytes_done(entry.size);
      progress_.file_done();
      return {};
    }
    const fs::path path = from_ / entry.path;
    const std::string doing = "copying " + path.string();
    const Fd source(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!source) return data_error(doing);
    MUSTER_TRY(check_unchanged(source, path, entry));
    MUSTER_TRY(entry.size > kChunk ? copy_large(entry, source, target, doing, counts)
                                   : copy_small(entry, source, target, doing, counts));
    MUSTER_TRY(check_unchanged(source, path, entry));
    progress_.file_done();
    return {};
  }

  static Result<> check_unchanged(const Fd& source, const fs::path& path,
                                  const ManifestEntry& entry) {
    struct stat info {};
    if (::fstat(source.get(), &info) != 0) return data_error("looking at " + path.string());
    if (is_as_listed(info, entry)) return {};
    return fail(ErrorCode::kData,
                path.string() + " was changed while it was copied: it had " +
                    counted(static_cast<std::int64_t>(entry.size), "byte") + ", now " +
                    std::to_string(info.st_size),
                "start again when nobody writes there any more; what is copied stays");
  }

  Result<> copy_small(const ManifestEntry& entry, const Fd& source, const fs::path& target,
                      const std::string& doing, CopyCounts& counts) {
    Fd made(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!made && errno == EEXIST) {
      ::unlink(target.c_str());
      made = Fd(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    }
    if (!made) return data_error(doing + " to " + target.string());
    MUSTER_TRY_ASSIGN(const std::uint64_t bytes,
                      copy_whole(source, made, entry.size, doing, progress_));
    MUSTER_TRY(finish_file(made, target, entry));
    ++counts.files;
    counts.bytes += bytes;
    return {};
  }

  Result<> copy_large(const ManifestEntry& entry, const Fd& source, const fs::path& target,
                      const std::string& doing, CopyCounts& counts) {
    MUSTER_TRY_ASSIGN(TransferLedger ledger, TransferLedger::open(ledgers_, entry));
    const int fresh = ledger.done() == 0 ? O_TRUNC : 0;
    Fd made(::open(target.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | fresh, 0600));
    if (!made && errno != ENOSPC) {  // another kind of thing, or not ours to write
      static_cast<void>(remove_tree(target));
      made = Fd(::open(target.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    }
    if (!made) return data_error(doing + " to " + target.string());
    if (ledger.done() > 0 && !last_chunk_agrees(source, made, ledger.done())) {
      MUSTER_TRY(ledger.restart());
      if (::ftruncate(made.get(), 0) != 0) return data_error(doing);
    }
    const std::uint64_t kept = ledger.done();
    progress_.bytes_done(kept);
    if (kept > 0 || ::ioctl(made.get(), FICLONE, source.get()) != 0) {
      for (std::uint64_t at = kept; at < entry.size;) {
        const std::uint64_t end = std::min(at + kChunk, entry.size);
        MUSTER_TRY(
            copy_range(source, made, at, end, entry.allocated < entry.size, doing, progress_));
        // A hole at its end must be there too before the note says so.
        if (entry.allocated < entry.size &&
            ::ftruncate(made.get(), static_cast<off64_t>(end)) != 0) {
          return data_error(doing);
        }
        MUSTER_TRY(ledger.note(end));
        at = end;
      }
    } else {
      progress_.bytes_done(entry.size);
    }
    MUSTER_TRY(finish_file(made, target, entry));
    ledger.remove();
    ++counts.files;
    counts.bytes += entry.size - kept;
    counts.kept_bytes += kept;
    return {};
  }

  std::vector<const ManifestEntry*> files_;
  fs::path from_;
  fs::path to_;
  fs::path ledgers_;
  TransferProgress& progress_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // of what follows
  CopyCounts counts_;
  std::optional<Error> error_;
};

const ManifestEntry* find(const Manifest& manifest, const std::string& path) {
  const auto at =
      std::lower_bound(manifest.entries.begin(), manifest.entries.end(), path,
                       [](const auto& entry, const auto& text) { return entry.path < text; });
  return at != manifest.entries.end() && at->path == path ? &*at : nullptr;
}

}  // namespace

Result<std::uint64_t> copy_whole(const Fd& source, const Fd& target, std::uint64_t size,
                                 const std::string& doing, TransferProgress& progress) {
  constexpr std::size_t kInOneRead = 1 << 16;
  if (size > kInOneRead) {
    MUSTER_TRY(copy_range(source, target, 0, size, true, doing, progress));
    if (::ftruncate(target.get(), static_cast<off64_t>(size)) != 0) return data_error(doing);
    return size;
  }
  // Two calls for a small file: most of the time goes into making it anyway.
  static thread_local std::array<char, kInOneRead> buffer;
  std::uint64_t copied = 0;
  while (copied < size) {
    const ssize_t got = ::read(source.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return data_error(doing);
    if (got == 0) return fail(ErrorCode::kData, doing + ": the file became shorter meanwhile");
    if (auto written = write_all(target, {buffer.data(), static_cast<std::size_t>(got)});
        !written) {
      Error error = std::move(written).error();
      error.code = ErrorCode::kData;
      return Failure(std::move(error).with_context(doing));
    }
    copied += static_cast<std::uint64_t>(got);
    progress.bytes_done(static_cast<std::uint64_t>(got));
  }
  return copied;
}

Result<> finish_file(const Fd& file, const fs::path& path, const ManifestEntry& entry) {
  // Shared by runs: nobody is to write into it.
  const timespec time{static_cast<time_t>(entry.mtime_ns / 1'000'000'000),
                      static_cast<long>(entry.mtime_ns % 1'000'000'000)};
  const timespec times[2] = {{0, UTIME_OMIT}, time};
  if (::fchmod(file.get(), (entry.mode & 0555) | 0400) != 0 || ::futimens(file.get(), times) != 0) {
    return data_error("finishing " + path.string());
  }
  return {};
}

Result<> check_and_finish(const fs::path& path, const ManifestEntry& entry) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return data_error("looking at " + path.string());
  if (static_cast<std::uint64_t>(info.st_size) != entry.size) {
    return fail(ErrorCode::kData,
                entry.path + " should have " + std::to_string(entry.size) + " bytes, and " +
                    std::to_string(info.st_size) + " came",
                "start again when nobody writes there any more; what is copied stays");
  }
  return finish_file(file, path, entry);
}

Result<> make_folders(const Manifest& manifest, const fs::path& to) {
  MUSTER_TRY(make_directories(to));
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.kind != ManifestEntry::Kind::kFolder) continue;
    const fs::path path = to / entry.path;
    // Ours to fill and to remove, whatever the source's mode is.
    if (::mkdir(path.c_str(), (entry.mode & 0777) | 0700) != 0 && errno != EEXIST) {
      return data_error("creating " + path.string());
    }
  }
  return {};
}

Result<> make_links(const Manifest& manifest, const fs::path& to) {
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.kind != ManifestEntry::Kind::kLink) continue;
    const fs::path path = to / entry.path;
    std::error_code error;
    if (fs::read_symlink(path, error) == entry.link && !error) continue;
    static_cast<void>(remove_tree(path));
    if (::symlink(entry.link.c_str(), path.c_str()) != 0) {
      return data_error("creating the link " + path.string());
    }
  }
  return {};
}

void remove_strangers(const Manifest& manifest, const fs::path& to) {
  std::vector<fs::path> strangers;
  std::error_code error;
  for (fs::recursive_directory_iterator at(to, error), end; !error && at != end;
       at.increment(error)) {
    const ManifestEntry* entry = find(manifest, at->path().lexically_relative(to).string());
    const bool folder = at->is_directory(error) && !at->is_symlink(error);
    if (entry != nullptr && folder == (entry->kind == ManifestEntry::Kind::kFolder)) continue;
    strangers.push_back(at->path());
    if (folder) at.disable_recursion_pending();
  }
  for (const fs::path& each : strangers) static_cast<void>(remove_tree(each));
}

Result<> check_room(const Manifest& manifest, const fs::path& to, const fs::path& ledgers) {
  struct statvfs room {};
  if (::statvfs(to.c_str(), &room) != 0) return data_error("looking at the room on " + to.string());
  const std::uint64_t block = std::max<std::uint64_t>(room.f_frsize, 512);
  std::error_code none;
  const bool fresh = fs::is_empty(to, none);
  std::uint64_t needed = 0;
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.kind == ManifestEntry::Kind::kFolder) needed += block;
    if (entry.kind != ManifestEntry::Kind::kFile) continue;
    if (!fresh) {
      struct stat info {};
      if (::lstat((to / entry.path).c_str(), &info) == 0) {
        if (is_as_listed(info, entry)) continue;
        if (entry.size > kChunk &&
            ::access((ledgers / short_hash(entry.path)).c_str(), F_OK) == 0) {
          needed += entry.allocated -
                    std::min(entry.allocated, static_cast<std::uint64_t>(info.st_blocks) * 512);
          continue;
        }
      }
    }
    needed += (entry.allocated + block - 1) / block * block;
  }
  const std::uint64_t free = static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize;
  if (needed <= free) return {};
  return fail(ErrorCode::kData,
              "not enough room for " + counted(static_cast<std::int64_t>(manifest.files), "file") +
                  ": needs " + format_bytes(needed) + ", and " + to.parent_path().string() +
                  " has " + format_bytes(free),
              "`muster cache prune --max-size SIZE` removes what was not used for longest; "
              "MUSTER_CACHE_DIR names another disk");
}

Result<CopyCounts> copy_manifest(const Manifest& manifest, const fs::path& from, const fs::path& to,
                                 const fs::path& ledgers, TransferProgress& progress) {
  MUSTER_TRY(make_directories(to));
  remove_strangers(manifest, to);
  MUSTER_TRY(check_room(manifest, to, ledgers));
  MUSTER_TRY(make_folders(manifest, to));
  MUSTER_TRY_ASSIGN(const CopyCounts counts, CopyJob(manifest, from, to, ledgers, progress).run());
  MUSTER_TRY(make_links(manifest, to));
  return counts;
}

}  // namespace muster::data
