#include "collector/store/group_sync.h"

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "collector/store/file_manifest.h"
#include "collector/store/stream_ends.h"
#include "collector/store/stream_kind.h"

namespace muster::store {
namespace fs = std::filesystem;
namespace {

// More files than this, and the whole file system is synced at once.
constexpr std::size_t kOneByOne = 32;

Failure failure(const fs::path& path) {
  return Failure(system_error(ErrorCode::kRunDirectory, "syncing " + path.string()));
}

bool has_no_sync(int error) {
  return error == EINVAL || error == ENOTSUP;  // a file system without such a thing
}

}  // namespace

GroupSync::GroupSync(RunDirectory run)
    : run_(std::move(run)), root_(::open(run_.root().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  state_.boot_id = this_boot();
}

GroupSync::Sizes GroupSync::sizes_now() const {
  Sizes sizes;
  const auto add = [&](const std::string& path) {
    std::error_code error;
    const auto facts = fs::symlink_status(run_.root() / path, error);
    if (error || !fs::is_regular_file(facts)) return;
    const auto size = fs::file_size(run_.root() / path, error);
    if (!error) sizes[path] = size;
  };
  for (const std::string& path : append_only_files(run_)) add(path);
  // Those of the output folders that grow in place; the others are durable before they have a name.
  if (const auto files = read_manifest(run_.files_jsonl())) {
    for (const auto& [path, state] : *files) {
      if (state.stored && state.stored->form == FileForm::kAppend) add(path);
    }
  }
  // Last: a gap is on record before its hole is made.
  for (const char* ledger : {".muster/files.jsonl", ".muster/streams.jsonl"}) add(ledger);
  return sizes;
}

Result<> GroupSync::sync() {
  Sizes grown = sizes_now();
  std::erase_if(grown, [&](const auto& each) {
    const auto known = state_.streams.find(each.first);
    return broken_.contains(each.first) ||
           (known != state_.streams.end() && known->second >= each.second);
  });
  if (grown.empty()) return {};
  auto synced = sync_files(grown);
  if (auto named = sync_folders(grown); !named) return named;
  for (const auto& [path, size] : grown) {
    if (!broken_.contains(path)) state_.streams[path] = size;
  }
  MUSTER_TRY(write_durable_state(run_, state_));
  return synced;
}

Result<> GroupSync::sync_files(const Sizes& grown) {
  if (grown.size() > kOneByOne) {
    if (!root_ || ::syncfs(root_.get()) == 0) return {};
    // It does not say which.
    for (const auto& [path, size] : grown) broken_.insert(path);
    return failure(run_.root());
  }
  Result<> result;
  for (const auto& [path, size] : grown) {
    auto synced = sync_one(path);
    if (synced) continue;
    broken_.insert(path);
    result = std::move(synced);
  }
  return result;
}

Result<> GroupSync::sync_one(const std::string& path) {
  const fs::path whole = run_.root() / path;
  const Fd fd(::open(whole.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (fd && (::fdatasync(fd.get()) == 0 || has_no_sync(errno))) return {};
  return failure(whole);
}

// New names, and the folders' own in those above them.
Result<> GroupSync::sync_folders(const Sizes& grown) {
  if (grown.size() > kOneByOne) return {};
  std::set<fs::path> folders;
  for (const auto& [path, size] : grown) {
    if (state_.streams.contains(path)) continue;
    for (fs::path folder = (run_.root() / path).parent_path();; folder = folder.parent_path()) {
      if (!folders.insert(folder).second || folder == run_.root()) break;
    }
    folders.insert(run_.root().parent_path());
  }
  for (const fs::path& folder : folders) {
    const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd && ::fsync(fd.get()) != 0 && !has_no_sync(errno)) return failure(folder);
  }
  return {};
}

std::uint64_t GroupSync::bytes_in_doubt() const {
  std::uint64_t bytes = 0;
  for (const auto& [path, size] : sizes_now()) {
    const auto known = state_.streams.find(path);
    const std::uint64_t certain = known == state_.streams.end() ? 0 : known->second;
    if (size > certain) bytes += size - certain;
  }
  return bytes;
}

}  // namespace muster::store
