#include "launcher/data/transfer_run.h"

#include <filesystem>
#include <optional>

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
  return true;
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
  const fs::path entry = cache.entry(identity, manifest.version());
  TransferOutcome outcome = outcome_of(spec, manifest, entry);
  const auto use = [&]() -> Result<TransferOutcome> {
    MUSTER_TRY(use_entry(entry));
    return outcome;
  };
  outcome.hit = true;
  if (is_whole(entry, manifest)) return use();

  MUSTER_TRY_ASSIGN(const CacheLock lock,
                    CacheLock::acquire(cache.lock_file(identity), spec.on_behalf_of,
                                       [&](const std::string& holder) {
                                         progress.phase(Phase::kWaiting, holder);
                                       }));
  progress.phase(Phase::kCopying);
  // Whoever held it may have made what we need.
  if (is_whole(entry, manifest)) return use();

  // A damaged one is mended where it is: other runs may read it.
  std::error_code ignored;
  const bool damaged = fs::is_directory(entry, ignored);
  const fs::path part = damaged ? entry : cache.part(identity);
  MUSTER_TRY(make_directories(part));
  auto fetched = source.fetch(manifest, DataCache::content(part), DataCache::ledgers(part));
  if (!fetched) {
    return Failure(std::move(fetched).error());
  }
  outcome.hit = false;
  outcome.moved_files = fetched->files;
  outcome.moved_bytes = fetched->bytes;
  outcome.kept_bytes = fetched->kept_bytes;
  if (damaged) {
    outcome.remarks.push_back("files in the cache had been changed, and were copied again: " +
                              std::to_string(fetched->files));
    return use();
  }
  const CacheNote note{spec.shown, manifest.version(), manifest.files, manifest.bytes,
                       format_utc(std::chrono::system_clock::now())};
  MUSTER_TRY(cache.complete(part, entry, note));
  return use();
}

}  // namespace muster::data
