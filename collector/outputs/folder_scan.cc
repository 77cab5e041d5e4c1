#include "collector/outputs/folder_scan.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <string_view>
#include <unistd.h>
#include <utility>

#include "base/fd.h"
#include "base/files.h"

namespace muster::outputs {
namespace fs = std::filesystem;
namespace {

constexpr int kDeepest = 100;  // folders in each other; each holds a descriptor while it is read
constexpr std::size_t kLongestPath = 1024;
constexpr std::size_t kLongestRules = 1U << 18;
constexpr std::uint64_t kLargeCoreDump = std::uint64_t{1} << 30;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// The kernel's default names: "core", "core.4711".
bool is_core_dump(std::string_view name, std::uint64_t size) {
  if (size <= kLargeCoreDump || !name.starts_with("core")) return false;
  name.remove_prefix(4);
  if (name.empty()) return true;
  return name.size() > 1 && name.front() == '.' &&
         std::all_of(name.begin() + 1, name.end(),
                     [](unsigned char byte) { return std::isdigit(byte) != 0; });
}

const char* kind_of(mode_t mode) {
  if (S_ISFIFO(mode)) return "it is a FIFO";
  if (S_ISSOCK(mode)) return "it is a socket";
  return "it is a device";
}

class Scan {
 public:
  Scan(const WatchedFolder& folder, const IgnoreRules& rules, const ScanOptions& options)
      : folder_(folder), rules_(rules), options_(options) {}

  FolderListing run() {
    for (const fs::path& path : options_.excluded) {
      struct stat info {};
      if (!path.empty() && ::stat(path.c_str(), &info) == 0) {
        excluded_.emplace_back(info.st_dev, info.st_ino);
      }
    }
    Fd root(::open(folder_.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat info {};
    if (!root || ::fstat(root.get(), &info) != 0) {
      // What is no folder is none of ours; what cannot be read is told.
      if (errno != ENOENT && errno != ENOTDIR)
        found_.unreadable.push_back({folder_.name, reason()});
      return std::move(found_);
    }
    found_.exists = true;
    if (!is_excluded(info)) enter(std::move(root), folder_.name, info.st_mode, 0);
    std::sort(found_.files.begin(), found_.files.end(),
              [](const FoundFile& one, const FoundFile& other) { return one.path < other.path; });
    return std::move(found_);
  }

 private:
  static std::string reason() { return std::strerror(errno); }

  bool is_excluded(const struct stat& info) const {
    return std::find(excluded_.begin(), excluded_.end(),
                     std::pair<dev_t, ino_t>(info.st_dev, info.st_ino)) != excluded_.end();
  }

  void enter(Fd fd, const std::string& path, mode_t mode, int depth) {
    const std::size_t number = found_.folders.size();
    found_.folders.push_back({path, mode});
    const int at = fd.get();
    Directory directory(::fdopendir(at));
    if (!directory) {
      found_.unreadable.push_back({path, reason()});
      return;
    }
    fd.release();  // closedir() closes it
    add_rules(at, path);
    bool is_empty = true;
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      is_empty = false;
      look_at(at, path, entry->d_name, depth);
    }
    if (errno != 0) {
      found_.unreadable.push_back({path, reason()});
    } else if (struct stat info{}; is_empty && ::fstat(at, &info) == 0) {
      found_.folders[number].is_empty = facts_of(info).mtime_ns >= options_.since_ns;
    }
  }

  void add_rules(int at, const std::string& path) {
    const Fd file(::openat(at, std::string(kIgnoreFile).c_str(),
                           O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file) return;
    std::string text(kLongestRules, '\0');
    const ssize_t got = ::read(file.get(), text.data(), text.size());
    if (got <= 0) return;
    text.resize(static_cast<std::size_t>(got));
    if (!own_rules_) own_rules_ = rules_;
    own_rules_->add_file(path, text);
  }

  void look_at(int at, const std::string& folder, const char* name, int depth) {
    struct stat info {};
    if (::fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return;  // gone since the listing
    const std::string path = folder + "/" + name;
    const bool is_folder = S_ISDIR(info.st_mode);
    if (!is_folder && name == kIgnoreFile) return;
    if ((own_rules_ ? *own_rules_ : rules_).ignores(path, is_folder)) return;
    if (S_ISREG(info.st_mode) && !options_.large_core_dumps &&
        is_core_dump(name, static_cast<std::uint64_t>(info.st_size))) {
      found_.left_out.push_back({path, "it is a core dump of more than 1 GiB"});
      return;
    }
    if (path.size() > kLongestPath) {
      found_.left_out.push_back({path, "its name has " + std::to_string(path.size()) +
                                           " bytes (at most " + std::to_string(kLongestPath) +
                                           " are stored)"});
    } else if (is_folder) {
      look_into(at, path, name, info, depth);
    } else {
      add_file(at, path, name, info);
    }
  }

  void look_into(int at, const std::string& path, const char* name, const struct stat& info,
                 int depth) {
    if (is_excluded(info)) return;
    if (depth >= kDeepest) {
      found_.left_out.push_back(
          {path, "it is more than " + std::to_string(kDeepest) + " folders deep"});
      return;
    }
    Fd inner(::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!inner) {
      if (errno != ENOENT) found_.unreadable.push_back({path, reason()});
      return;
    }
    enter(std::move(inner), path, info.st_mode, depth + 1);
  }

  void add_file(int at, const std::string& path, const char* name, const struct stat& info) {
    FoundFile file{path, facts_of(info)};
    if (S_ISLNK(info.st_mode)) {
      char target[PATH_MAX];
      const ssize_t length = ::readlinkat(at, name, target, sizeof target);
      if (length <= 0) return;
      file.target.assign(target, static_cast<std::size_t>(length));
    } else if (!S_ISREG(info.st_mode)) {
      found_.left_out.push_back({path, kind_of(info.st_mode)});
      return;
    }
    // A link says nothing of its own; it is taken in any case when it is new, as a file is.
    if (file.facts.mtime_ns >= options_.since_ns) found_.files.push_back(std::move(file));
  }

  const WatchedFolder& folder_;
  const IgnoreRules& rules_;
  const ScanOptions& options_;
  std::optional<IgnoreRules> own_rules_;  // with those of the folders that were entered
  std::vector<std::pair<dev_t, ino_t>> excluded_;
  FolderListing found_;
};

}  // namespace

IgnoreRules rules_of(const fs::path& working_directory) {
  IgnoreRules rules;
  rules.add_file("", kIgnoredByDefault);
  auto text = read_regular_file(working_directory / kIgnoreFile, kLongestRules);
  if (text) rules.add_file("", *text);
  return rules;
}

FolderListing scan(const WatchedFolder& folder, const IgnoreRules& rules,
                   const ScanOptions& options) {
  return Scan(folder, rules, options).run();
}

}  // namespace muster::outputs
