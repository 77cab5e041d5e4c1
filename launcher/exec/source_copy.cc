// A file's bytes are hashed on their way from the source to the copy, so the hash is of what the
// ranks have, and costs no second reading.

#include "launcher/exec/source_copy.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/fd.h"
#include "base/files.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kChunk = 1 << 18;
constexpr std::size_t kFilesForAThread = 64;  // with fewer, starting it takes longer than it saves
constexpr unsigned kMostThreads = 8;
constexpr auto kCheckInterval = 20ms;

Failure data_error(const std::string& doing, int error_number) {
  return Failure(system_error(ErrorCode::kData, doing, error_number));
}

struct Copied {
  XXH128_hash_t hash{};
  std::int64_t bytes = 0;
};

class CopyJob {
 public:
  CopyJob(const SourceTree& tree, const fs::path& copy, const std::function<Result<>()>& check)
      : tree_(tree), copy_(copy), check_(check), copied_(tree.files.size()) {}

  Result<SourceCopy> run();

 private:
  Result<> make_folders() const;
  void work(bool may_check);
  bool start_one(std::vector<std::jthread>& others);
  void work_with_others();
  Result<std::optional<Copied>> copy_one(const SourceEntry& entry, bool may_check);
  Result<std::optional<Copied>> copy_file(const SourceEntry& entry, bool may_check);
  Result<std::optional<Copied>> copy_link(const SourceEntry& entry) const;
  Result<> keep_on(bool may_check);
  void end_with(Error error);
  SourceCopy summary() const;

  const SourceTree& tree_;
  const fs::path& copy_;
  const std::function<Result<>()>& check_;
  std::vector<std::optional<Copied>> copied_;  // of tree_.files; each written by one thread
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> ended_ = false;  // early
  Clock::time_point next_check_ = Clock::now();
  std::mutex mutex_;
  std::condition_variable one_done_;
  int working_ = 0;
  std::optional<Error> error_;
};

Result<SourceCopy> CopyJob::run() {
  MUSTER_TRY(make_directories(copy_));
  MUSTER_TRY(make_folders());
  work_with_others();
  if (error_) return Failure(std::move(*error_));
  for (const char* name : {"outputs", "logs"}) {
    // A link that the source has there stays what it is, wherever it leads.
    std::error_code ignored;
    if (!fs::is_symlink(copy_ / name, ignored)) MUSTER_TRY(make_directories(copy_ / name));
  }
  return summary();
}

// As they were for others; we ourselves must be able to fill them and to remove them again.
Result<> CopyJob::make_folders() const {
  for (const SourceEntry& folder : tree_.folders) {
    const fs::path path = copy_ / folder.path;
    const mode_t mode = (folder.mode & 07777) | S_IRWXU;
    if ((::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) ||
        ::chmod(path.c_str(), mode) != 0) {
      return data_error("creating " + path.string(), errno);
    }
  }
  return {};
}

// False where no more processes are allowed; the others do its share.
bool CopyJob::start_one(std::vector<std::jthread>& others) {
  const auto count = [this](int change) {
    const std::lock_guard lock(mutex_);
    working_ += change;
    one_done_.notify_one();
  };
  count(+1);
  try {
    others.emplace_back([this, count] {
      work(false);
      count(-1);
    });
  } catch (const std::system_error&) {
    count(-1);
    return false;
  }
  return true;
}

void CopyJob::work_with_others() {
  const std::size_t useful = tree_.files.size() / kFilesForAThread + 1;
  const std::size_t cores = std::clamp(std::thread::hardware_concurrency(), 1U, kMostThreads);
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < std::min(useful, cores); ++i) {
    if (!start_one(others)) break;
  }
  work(true);
  std::unique_lock lock(mutex_);
  while (working_ > 0) {
    one_done_.wait_for(lock, kCheckInterval);
    lock.unlock();
    if (auto kept = keep_on(true); !kept) end_with(std::move(kept).error());
    lock.lock();
  }
}

void CopyJob::work(bool may_check) {
  while (true) {
    const std::size_t at = next_++;
    if (at >= tree_.files.size() || ended_) return;
    auto copied = copy_one(tree_.files[at], may_check);
    if (!copied) return end_with(std::move(copied).error());
    copied_[at] = *copied;
  }
}

// Whether somebody wants the whole to end.  Only the calling thread asks whom it must ask.
Result<> CopyJob::keep_on(bool may_check) {
  if (ended_) return fail(ErrorCode::kData, "ended");  // the first error is the one that is told
  if (!may_check || Clock::now() < next_check_) return {};
  next_check_ = Clock::now() + kCheckInterval;
  return check_();
}

void CopyJob::end_with(Error error) {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  if (!error_) error_ = std::move(error);
}

Result<std::optional<Copied>> CopyJob::copy_one(const SourceEntry& entry, bool may_check) {
  MUSTER_TRY(keep_on(may_check));
  return S_ISLNK(entry.mode) ? copy_link(entry) : copy_file(entry, may_check);
}

Result<std::optional<Copied>> CopyJob::copy_link(const SourceEntry& entry) const {
  const fs::path to = copy_ / entry.path;
  if (::symlink(entry.target.c_str(), to.c_str()) != 0) {
    return data_error("creating the link " + to.string(), errno);
  }
  return Copied{XXH3_128bits(entry.target.data(), entry.target.size()), 0};
}

// Nothing for a file that is gone since the look at the tree.
Result<std::optional<Copied>> CopyJob::copy_file(const SourceEntry& entry, bool may_check) {
  const fs::path from = tree_.root / entry.path;
  const fs::path to = copy_ / entry.path;
  const auto doing = [&] { return "copying " + from.string() + " to " + to.string(); };
  const Fd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!source && errno == ENOENT) return std::nullopt;
  if (!source) return data_error(doing(), errno);
  const Fd target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!target) return data_error(doing(), errno);

  static thread_local std::vector<char> buffer(kChunk);
  XXH3_state_t hash;
  XXH3_128bits_reset(&hash);
  Copied copied;
  while (true) {
    const ssize_t got = ::read(source.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return data_error(doing(), errno);
    if (got == 0) break;
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
    XXH3_128bits_update(&hash, bytes.data(), bytes.size());
    if (auto written = write_all(target, bytes); !written) {
      return Failure(std::move(written).error().with_context(doing()));
    }
    copied.bytes += got;
    MUSTER_TRY(keep_on(may_check));
  }
  copied.hash = XXH3_128bits_digest(&hash);
  const timespec times[2] = {entry.accessed, entry.modified};
  if (::fchmod(target.get(), entry.mode & 07777) != 0 || ::futimens(target.get(), times) != 0) {
    return data_error(doing(), errno);
  }
  return copied;
}

SourceCopy CopyJob::summary() const {
  SourceCopy summary;
  XXH3_state_t whole;
  XXH3_128bits_reset(&whole);
  for (std::size_t i = 0; i < copied_.size(); ++i) {
    if (!copied_[i]) continue;
    const SourceEntry& entry = tree_.files[i];
    ++summary.files;
    summary.bytes += copied_[i]->bytes;
    // As git has modes: others differ with the umask of whoever made the file.
    const char kind = S_ISLNK(entry.mode) ? 'l' : (entry.mode & S_IXUSR) != 0 ? 'x' : 'f';
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, copied_[i]->hash);
    XXH3_128bits_update(&whole, entry.path.c_str(), entry.path.size() + 1);
    XXH3_128bits_update(&whole, &kind, 1);
    XXH3_128bits_update(&whole, canonical.digest, sizeof canonical.digest);
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&whole));
  summary.hash = "xxh3-128:";
  for (const unsigned char byte : canonical.digest) {
    constexpr char kDigits[] = "0123456789abcdef";
    summary.hash += kDigits[byte >> 4U];
    summary.hash += kDigits[byte & 15U];
  }
  return summary;
}

}  // namespace

Result<SourceCopy> copy_source(const SourceTree& tree, const fs::path& copy,
                               const std::function<Result<>()>& check) {
  auto copied = CopyJob(tree, copy, check).run();
  if (copied || copied.error().code == ErrorCode::kStopped) return copied;
  Error error = std::move(copied).error();
  error.code = ErrorCode::kData;
  if (error.hint.empty()) {
    error.hint =
        "every file of source_directory is copied: it must be readable, and there must be room";
  }
  return Failure(std::move(error).with_context("copying source_directory"));
}

}  // namespace muster::exec
