#include "launcher/data/transfer_manifest.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>

#include <xxhash.h>

#include "base/fd.h"
#include "base/text.h"
#include "launcher/data/transfer_glob.h"

namespace muster::data {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kShownFailures = 5;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

ManifestEntry file_entry(std::string path, const struct stat& info) {
  ManifestEntry entry;
  entry.path = std::move(path);
  entry.size = static_cast<std::uint64_t>(info.st_size);
  entry.allocated =
      std::min<std::uint64_t>(entry.size, static_cast<std::uint64_t>(info.st_blocks) * 512);
  entry.mtime_ns = nanoseconds(info.st_mtim);
  entry.mode = info.st_mode & 0777;
  return entry;
}

// Walks a tree.  What cannot be read is collected, so that one message names more than one file.
class Walk {
 public:
  Walk(const TransferSpec& spec, fs::path root, TransferProgress& progress)
      : spec_(spec), root_(std::move(root)), progress_(progress) {}

  Result<Manifest> run() {
    folder("", 0);
    if (failures_ > 0) {
      std::string text = "reading " + root_.string() + ": ";
      for (const std::string& each : shown_) text += (&each == &shown_.front() ? "" : "; ") + each;
      if (failures_ > shown_.size()) {
        text += "; and " + std::to_string(failures_ - shown_.size()) + " more";
      }
      return fail(ErrorCode::kData, text);
    }
    if (special_ > 0) {
      manifest_.remarks.push_back(counted(special_, "socket, FIFO or device") +
                                  (special_ == 1 ? " is" : " are") + " left out");
    }
    manifest_.settle();
    return std::move(manifest_);
  }

 private:
  using Identity = std::pair<dev_t, ino_t>;

  void failed(const std::string& path, int error_number) {
    ++failures_;
    if (shown_.size() < kShownFailures) {
      shown_.push_back((path.empty() ? root_.string() : path) + ": " +
                       std::error_code(error_number, std::generic_category()).message());
    }
  }

  // `path` is "" or ends in a slash.
  void folder(const std::string& path, int depth) {
    const std::string whole = (root_ / path).string();
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(whole.c_str()), ::closedir);
    struct stat info {};
    if (!folder || ::fstat(::dirfd(folder.get()), &info) != 0) return failed(path, errno);
    const Identity identity{info.st_dev, info.st_ino};
    if (std::find(above_.begin(), above_.end(), identity) != above_.end()) {
      manifest_.remarks.push_back(path + " leads back to a folder above it and is left out");
      return;
    }
    above_.push_back(identity);
    if (!path.empty()) {
      ManifestEntry entry;
      entry.kind = ManifestEntry::Kind::kFolder;
      entry.path = path.substr(0, path.size() - 1);
      entry.mode = info.st_mode & 0777;
      manifest_.entries.push_back(std::move(entry));
    }
    errno = 0;
    while (const dirent* each = ::readdir(folder.get())) {
      const std::string_view name = each->d_name;
      if (name != "." && name != "..") look_at(::dirfd(folder.get()), path, each->d_name, depth);
      errno = 0;
    }
    if (errno != 0) failed(path, errno);
    above_.pop_back();
  }

  void look_at(int folder_fd, const std::string& folder_path, const char* name, int depth) {
    const std::string path = folder_path + name;
    struct stat info {};
    if (::fstatat(folder_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) failed(path, errno);  // gone since the listing
      return;
    }
    if (S_ISLNK(info.st_mode)) {
      if (keep_link(path)) return;
      if (::fstatat(folder_fd, name, &info, 0) != 0) return failed(path, errno);
    }
    if (S_ISDIR(info.st_mode)) return folder(path + "/", depth + 1);
    if (!S_ISREG(info.st_mode)) {
      ++special_;
      return;
    }
    if (!fits_any_glob(spec_.include, path)) return;
    manifest_.entries.push_back(file_entry(path, info));
    progress_.listed(path);
  }

  // A link stays one when what it leads to comes along, or when it leads nowhere.
  bool keep_link(const std::string& path) {
    if (!spec_.include.empty()) return false;
    const fs::path whole = root_ / path;
    std::error_code error;
    const fs::path text = fs::read_symlink(whole, error);
    if (error) return false;
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(whole.c_str(), nullptr), ::free);
    ManifestEntry entry;
    entry.kind = ManifestEntry::Kind::kLink;
    entry.path = path;
    entry.link = text.string();
    if (real) {
      const fs::path inside = fs::path(real.get()).lexically_relative(root_);
      if (inside.empty() || *inside.begin() == "..") return false;
      // The copy's own file, where the text goes by way of what is outside or of a followed link.
      const fs::path folder = fs::path(path).parent_path();
      if (text.is_absolute() || (folder / text).lexically_normal() != inside) {
        entry.link = inside.lexically_relative(folder).string();
      }
    }
    manifest_.entries.push_back(std::move(entry));
    return true;
  }

  const TransferSpec& spec_;
  fs::path root_;  // without links
  TransferProgress& progress_;
  Manifest manifest_;
  std::vector<Identity> above_;
  std::vector<std::string> shown_;
  std::uint64_t failures_ = 0;
  std::int64_t special_ = 0;
};

Failure wrong_type(const TransferSpec& spec, const std::string& what, const std::string& type) {
  return fail(ErrorCode::kData, spec.source + " is " + what, "write `type: " + type + "`");
}

char letter(ManifestEntry::Kind kind) {
  return kind == ManifestEntry::Kind::kFile ? 'f' : kind == ManifestEntry::Kind::kLink ? 'l' : 'd';
}

}  // namespace

std::string short_hash(std::string_view text) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
  return digits.data();
}

void Manifest::settle() {
  std::sort(entries.begin(), entries.end(),
            [](const auto& one, const auto& other) { return one.path < other.path; });
  files = bytes = 0;
  for (const ManifestEntry& entry : entries) {
    if (entry.kind != ManifestEntry::Kind::kFile) continue;
    ++files;
    bytes += entry.size;
  }
}

std::string Manifest::version() const {
  std::string text;
  for (const ManifestEntry& entry : entries) {
    text += letter(entry.kind);
    // NUL cannot be in a name.
    for (const std::string& part :
         {std::to_string(entry.size), std::to_string(entry.mtime_ns), std::to_string(entry.mode),
          entry.hash, entry.link, entry.path}) {
      text.append(part).push_back('\0');
    }
  }
  return short_hash(text);
}

Result<Manifest> list_local(const TransferSpec& spec, TransferProgress& progress) {
  struct stat info {};
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(spec.source.c_str(), nullptr),
                                                    ::free);
  if (!real || ::stat(real.get(), &info) != 0) {
    return Failure(system_error(ErrorCode::kData, "looking at " + spec.source));
  }
  if (spec.type == TransferType::kFile) {
    if (S_ISDIR(info.st_mode)) return wrong_type(spec, "a folder", "folder");
    Manifest manifest;
    // Under the name that the user wrote: the real one may be a hash.
    manifest.entries.push_back(file_entry(fs::path(spec.source).filename().string(), info));
    manifest.settle();
    return manifest;
  }
  if (!S_ISDIR(info.st_mode)) return wrong_type(spec, "no folder", "file");
  return Walk(spec, real.get(), progress).run();
}

bool is_done(const fs::path& file, const ManifestEntry& entry) {
  struct stat info {};
  return ::lstat(file.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<std::uint64_t>(info.st_size) == entry.size &&
         nanoseconds(info.st_mtim) == entry.mtime_ns;
}

}  // namespace muster::data
