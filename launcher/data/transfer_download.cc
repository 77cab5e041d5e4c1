#include "launcher/data/transfer_run.h"

#include <filesystem>
#include <optional>
#include <unordered_set>

#include <unistd.h>

#include "base/files.h"
#include "base/text.h"
#include "launcher/data/cache.h"
#include "launcher/data/transfer_copy.h"
#include "launcher/data/transfer_manifest.h"
#include "launcher/data/transfer_rclone.h"

namespace muster::data {
namespace fs = std::filesystem;
namespace {

using Phase = TransferState::Phase;

// By what its entries are known: what the source is, and what is taken of it.
std::string identity_of(const TransferSpec& spec) {
  std::string text = spec.by == TransferBy::kRclone ? "rclone " : "local ";
  text += spec.type == TransferType::kFile ? "file " : "folder ";
  text += spec.by == TransferBy::kRclone ? spec.source
                                         : fs::path(spec.source).lexically_normal().string();
  for (const std::string& each : spec.include) text += "\n" + each;
  return text;
}

// Both kinds of source, as one.
class Source {
 public:
  Source(const TransferSpec& spec, TransferProgress& progress)
      : spec_(spec), progress_(progress), rclone_(spec.rclone, progress) {}

  Result<Manifest> list() {
    progress_.phase(Phase::kListing);
    if (spec_.by == TransferBy::kLocalCopy) return list_local(spec_, progress_);
    MUSTER_TRY_ASSIGN(remote_, rclone_.look_at(spec_));
    return rclone_.list(spec_, spec_.source, remote_);
  }

  Result<CopyCounts> fetch(const Manifest& manifest, const fs::path& to, const fs::path& ledgers) {
    progress_.phase(Phase::kCopying);
    progress_.total(manifest.files, manifest.bytes);
    if (spec_.by == TransferBy::kRclone) {
      return rclone_.download(spec_, manifest, remote_, to, ledgers);
    }
    const fs::path source = spec_.source;
    return copy_manifest(manifest,
                         spec_.type == TransferType::kFile ? source.parent_path() : source, to,
                         ledgers, progress_);
  }

 private:
  const TransferSpec& spec_;
  TransferProgress& progress_;
  Rclone rclone_;
  Rclone::Remote remote_;
};

// Whether there is a name that the list does not have: a rank's own file beside the data, say.
bool has_strangers(const fs::path& content, const Manifest& manifest) {
  std::unordered_set<std::string> known;
  for (const ManifestEntry& each : manifest.entries) {
    // With the folders above it, which not every list has.
    for (std::string path = each.path; known.insert(path).second;) {
      const std::size_t slash = path.rfind('/');
      if (slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  const std::size_t root = content.string().size() + 1;
  std::error_code error;
  fs::recursive_directory_iterator at(content, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    if (!known.contains(at->path().string().substr(root))) return true;
  }
  return static_cast<bool>(error);
}

// Whether the entry is there and nobody has touched what is in it.
bool is_whole(const fs::path& entry, const Manifest& manifest) {
  std::error_code error;
  if (!fs::is_directory(entry, error)) return false;
  const fs::path content = DataCache::content(entry);
  for (const ManifestEntry& each : manifest.entries) {
    const fs::path path = content / each.path;
    switch (each.kind) {
      case ManifestEntry::Kind::kFile:
        if (!is_done(path, each)) return false;
        break;
      case ManifestEntry::Kind::kFolder:
        if (!fs::is_directory(path, error)) return false;
        break;
      case ManifestEntry::Kind::kLink:
        if (fs::read_symlink(path, error) != each.link || error) return false;
        break;
    }
  }
  return !has_strangers(content, manifest);
}

// What was changed in a complete copy is not taken for begun: its files are no part of one.
std::uint64_t remove_changed(const fs::path& content, const Manifest& manifest) {
  std::uint64_t changed = 0;
  for (const ManifestEntry& each : manifest.entries) {
    const fs::path path = content / each.path;
    if (each.kind != ManifestEntry::Kind::kFile || is_done(path, each)) continue;
    static_cast<void>(remove_tree(path));
    ++changed;
  }
  return changed;
}

TransferOutcome outcome_of(const TransferSpec& spec, const Manifest& manifest,
                           const fs::path& entry) {
  TransferOutcome outcome;
  outcome.entry = entry.string();
  fs::path content = DataCache::content(entry);
  if (spec.type == TransferType::kFile) content /= manifest.entries.front().path;
  outcome.content = content.string();
  outcome.files = manifest.files;
  outcome.bytes = manifest.bytes;
  outcome.remarks = manifest.remarks;
  return outcome;
}

}  // namespace

Result<TransferOutcome> download(const TransferSpec& spec, TransferProgress& progress) {
  const DataCache cache(spec.cache);
  MUSTER_TRY(cache.prepare());
  Source source(spec, progress);
  MUSTER_TRY_ASSIGN(Manifest manifest, source.list());
  const std::string identity = identity_of(spec);
  // A lock from before the look on: nothing in it is replaced from then on.
  const auto use = [&](const fs::path& entry) -> Result<TransferOutcome> {
    MUSTER_TRY_ASSIGN(const Fd used, use_entry(entry));
    if (!is_whole(entry, manifest)) {
      return fail(ErrorCode::kData, "the cache's entry " + entry.string() + " was changed",
                  "start again: what was changed is then copied anew");
    }
    return outcome_of(spec, manifest, entry);
  };
  const auto find = [&]() -> std::optional<TransferOutcome> {
    for (const fs::path& entry : cache.entries(identity, manifest.version())) {
      if (auto found = use(entry)) {
        found->hit = true;
        return std::move(*found);
      }
    }
    return std::nullopt;
  };
  if (auto found = find()) return std::move(*found);

  MUSTER_TRY_ASSIGN(const CacheLock lock,
                    CacheLock::acquire(cache.lock_file(identity), spec.on_behalf_of,
                                       [&](const std::string& holder) {
                                         progress.phase(Phase::kWaiting, holder);
                                       }));
  progress.phase(Phase::kCopying);
  // Whoever held it may have made what we need.
  if (auto found = find()) return std::move(*found);

  // A damaged one is mended out of the way, unless a run reads it: then one is made beside it.
  const fs::path part = cache.part(identity);
  std::vector<std::string> remarks;
  make_writable(part);  // its maker may have been ended just before its last step
  for (const fs::path& damaged : cache.entries(identity, manifest.version())) {
    if (!reopen_entry(damaged, part)) {
      remarks.push_back(
          "the copy in the cache had been changed, and a run uses it: another is made");
      continue;
    }
    const std::uint64_t changed = remove_changed(DataCache::content(part), manifest);
    remarks.push_back("the copy in the cache had been changed and is mended; " +
                      counted(static_cast<std::int64_t>(changed), "file") + " copied again");
    break;
  }
  MUSTER_TRY(make_directories(part));
  MUSTER_TRY_ASSIGN(const CopyCounts fetched,
                    source.fetch(manifest, DataCache::content(part), DataCache::ledgers(part)));
  const CacheNote note{spec.shown, manifest.version(), manifest.files, manifest.bytes,
                       format_utc(std::chrono::system_clock::now())};
  const fs::path entry = cache.free_entry(identity, manifest.version());
  MUSTER_TRY(cache.complete(part, entry, note));
  MUSTER_TRY_ASSIGN(TransferOutcome outcome, use(entry));
  outcome.hit = false;
  outcome.moved_files = fetched.files;
  outcome.moved_bytes = fetched.bytes;
  outcome.kept_bytes = fetched.kept_bytes;
  outcome.remarks.insert(outcome.remarks.end(), remarks.begin(), remarks.end());
  return outcome;
}

}  // namespace muster::data
