#include "launcher/exec/source_tree.h"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/fd.h"
#include "base/files.h"
#include "base/ignore_rules.h"

namespace muster::exec {
namespace fs = std::filesystem;
namespace {

// Whoever has more has forgotten to leave something out; to look at all of it may take minutes.
constexpr std::size_t kMostFiles = 1'000'000;
constexpr std::size_t kMostShown = 3;          // largest by bytes, by files, and single files
constexpr std::int64_t kShareThatCounts = 20;  // a file is named when it has 1/20 of all bytes
constexpr std::size_t kLargestIgnoreFile = 1 << 20;

constexpr const char* kIgnoreFiles[] = {".amlignore", ".gitignore"};

Failure data_error(const std::string& doing, int error_number) {
  Error error = system_error(ErrorCode::kData, doing, error_number);
  error.hint = "every file of source_directory is copied: it must be readable";
  return Failure(std::move(error).with_context("looking at source_directory"));
}

bool is_regular(const fs::path& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

// Lies `path` in `root`, or is it it?  Both without links.
bool is_inside(const fs::path& path, const fs::path& root) {
  const fs::path relative = path.lexically_relative(root);
  return !relative.empty() && *relative.begin() != "..";
}

// Results of a run go there, wherever it leads: such a link is no source.
bool is_place_for_results(const std::string& path) {
  return path == "outputs" || path == "logs";
}

// Each folder's share; the first level is what a person can leave out in one line.
class Sizes {
 public:
  void add(const std::string& path, std::int64_t bytes) {
    const std::size_t slash = path.find('/');
    plan::SourceItem& item = items_[path.substr(0, slash == std::string::npos ? slash : slash + 1)];
    item.files += 1;
    item.bytes += bytes;
    total_ += bytes;
    const auto smaller = [&](const plan::SourceItem& other) { return other.bytes < bytes; };
    const auto place = std::find_if(biggest_.begin(), biggest_.end(), smaller);
    if (place == biggest_.end() && biggest_.size() >= kMostShown) return;
    biggest_.insert(place, {path, 1, bytes});
    if (biggest_.size() > kMostShown) biggest_.pop_back();
  }

  std::vector<plan::SourceItem> largest() const {
    std::vector<plan::SourceItem> all;
    for (const auto& [path, item] : items_) all.push_back({path, item.files, item.bytes});
    std::vector<plan::SourceItem> shown;
    const auto take = [&](auto key) {
      std::stable_sort(all.begin(), all.end(),
                       [&](const auto& a, const auto& b) { return key(a) > key(b); });
      for (std::size_t i = 0; i < std::min(kMostShown, all.size()); ++i) {
        const bool known = std::any_of(shown.begin(), shown.end(),
                                       [&](const auto& each) { return each.path == all[i].path; });
        if (!known) shown.push_back(all[i]);
      }
    };
    take([](const plan::SourceItem& item) { return item.bytes; });
    take([](const plan::SourceItem& item) { return item.files; });
    // Deeper down, what makes a difference.
    all.clear();
    for (const plan::SourceItem& file : biggest_) {
      if (file.bytes > total_ / kShareThatCounts) all.push_back(file);
    }
    take([](const plan::SourceItem& item) { return item.bytes; });
    return shown;
  }

 private:
  std::map<std::string, plan::SourceItem> items_;  // by path
  std::vector<plan::SourceItem> biggest_;          // single files, the biggest first
  std::int64_t total_ = 0;
};

class Look {
 public:
  Look(const fs::path& root, const fs::path& runs) : runs_(runs) { tree_.root = root; }

  Result<SourceTree> run();

 private:
  Result<> folder(const std::string& path);
  Result<> entry(const std::string& path, const std::string& name);
  void read_rules(const std::string& folder);
  void check_link(const SourceEntry& link);
  bool is_left_out(const std::string& path, const std::string& name, const struct stat& info);

  fs::path runs_;
  fs::path real_root_;
  dev_t runs_device_ = 0;
  ino_t runs_inode_ = 0;
  bool runs_is_root_ = false;
  const char* ignore_name_ = nullptr;
  IgnoreRules rules_;
  Sizes sizes_;
  SourceTree tree_;
};

Result<SourceTree> Look::run() {
  std::error_code error;
  real_root_ = fs::canonical(tree_.root, error);
  if (error) return data_error("reading " + tree_.root.string(), error.value());
  struct stat runs {};
  if (!runs_.empty() && ::stat(runs_.c_str(), &runs) == 0) {
    runs_device_ = runs.st_dev;
    runs_inode_ = runs.st_ino;
    runs_is_root_ = fs::equivalent(runs_, real_root_, error);
  }
  const bool has_own = is_regular(tree_.root / kIgnoreFiles[0]);
  ignore_name_ = has_own ? kIgnoreFiles[0] : kIgnoreFiles[1];
  MUSTER_TRY(folder(""));
  const auto by_path = [](const SourceEntry& a, const SourceEntry& b) { return a.path < b.path; };
  std::sort(tree_.files.begin(), tree_.files.end(), by_path);
  std::sort(tree_.folders.begin(), tree_.folders.end(), by_path);
  tree_.facts.files = static_cast<std::int64_t>(tree_.files.size());
  tree_.facts.largest = sizes_.largest();
  return std::move(tree_);
}

void Look::read_rules(const std::string& folder) {
  const fs::path path = tree_.root / folder / ignore_name_;
  if (!is_regular(path)) return;
  const auto text = read_file(path, kLargestIgnoreFile);
  if (!text) return;  // it will be missed when it is copied
  if (tree_.facts.ignore_file.empty()) tree_.facts.ignore_file = ignore_name_;
  rules_.add_file(folder, *text);
}

Result<> Look::folder(const std::string& path) {
  const fs::path whole = path.empty() ? tree_.root : tree_.root / path;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(whole.c_str()), ::closedir);
  if (open == nullptr) {
    if (errno == ENOENT && !path.empty()) return {};  // gone since its parent was listed
    return data_error("reading " + whole.string(), errno);
  }
  read_rules(path);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* found = ::readdir(open.get())) names.emplace_back(found->d_name);
  if (errno != 0) return data_error("reading " + whole.string(), errno);
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    MUSTER_TRY(entry(path.empty() ? name : path + "/" + name, name));
    if (!tree_.facts.complete) return {};
  }
  return {};
}

bool Look::is_left_out(const std::string& path, const std::string& name, const struct stat& info) {
  if (name == ".git") return true;
  if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) return true;
  if (S_ISDIR(info.st_mode)) {
    if (runs_inode_ != 0 && info.st_dev == runs_device_ && info.st_ino == runs_inode_) return true;
    // Run directories lie beside the source itself.
    if (runs_is_root_ && path == name && is_regular(tree_.root / path / "run.json") &&
        is_regular(tree_.root / path / "events.jsonl")) {
      return true;
    }
  }
  if (!rules_.ignores(path, S_ISDIR(info.st_mode))) return false;
  ++tree_.facts.left_out;
  return true;
}

Result<> Look::entry(const std::string& path, const std::string& name) {
  const fs::path whole = tree_.root / path;
  struct stat info {};
  if (::lstat(whole.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return data_error("looking at " + whole.string(), errno);
  }
  if (is_left_out(path, name, info)) return {};
  SourceEntry found{path, info.st_mode, info.st_size, info.st_atim, info.st_mtim};
  if (S_ISDIR(info.st_mode)) {
    tree_.folders.push_back(std::move(found));
    return folder(path);
  }
  if (S_ISLNK(info.st_mode)) {
    std::error_code error;
    found.target = fs::read_symlink(whole, error).string();
    if (error) return data_error("reading the link " + whole.string(), error.value());
    check_link(found);
    found.size = 0;
  }
  tree_.facts.bytes += found.size;
  sizes_.add(path, found.size);
  tree_.files.push_back(std::move(found));
  tree_.facts.complete = tree_.files.size() < kMostFiles;
  return {};
}

// In words and in truth: "../src/x" from src/ leads back into the source, but not into its copy,
// and "a/../../x" leads out where a is a link.
void Look::check_link(const SourceEntry& link) {
  if (is_place_for_results(link.path)) return;
  const fs::path target = link.target;
  const fs::path folder = fs::path(link.path).parent_path();
  const fs::path in_words = (folder / target).lexically_normal();
  bool inside = target.is_relative() && (in_words.empty() || *in_words.begin() != "..");
  // "x/../../src/y" is normal as "../src/y"; what leaves on the way and comes back is seen here.
  int depth = 0;
  for (const fs::path& part : folder / target) {
    if (part == "..") {
      inside = inside && --depth >= 0;
    } else if (part != "." && !part.empty()) {
      ++depth;
    }
  }
  std::error_code error;
  const fs::path real = fs::weakly_canonical(real_root_ / folder / target, error);
  if (!error) inside = inside && is_inside(real, real_root_);
  if (!inside) tree_.facts.links_outside.push_back(link.path + " -> " + link.target);
}

}  // namespace

Result<SourceTree> look_at_source(const fs::path& root, const fs::path& runs) {
  return Look(root, runs).run();
}

}  // namespace muster::exec
