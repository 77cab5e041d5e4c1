#include "launcher/data/transfer_run.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/data/transfer_copy.h"
#include "launcher/data/transfer_manifest.h"
#include "launcher/data/transfer_rclone.h"

namespace muster::data {
namespace fs = std::filesystem;
namespace {

using Phase = TransferState::Phase;

Failure data_error(const std::string& doing, int error_number = errno) {
  return Failure(system_error(ErrorCode::kData, doing, error_number));
}

// Gives a complete file its name; EEXIST when it is taken and may not be replaced.
int rename_to(const fs::path& from, const fs::path& to, bool overwrite) {
  if (overwrite) return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // File systems of the network may not know this flag.
  if (::link(from.c_str(), to.c_str()) == 0) {
    ::unlink(from.c_str());
    return 0;
  }
  if (errno == EEXIST) return errno;
  if (::access(to.c_str(), F_OK) == 0) return EEXIST;
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

class LocalUpload {
 public:
  LocalUpload(const TransferSpec& spec, TransferProgress& progress, TransferOutcome& outcome)
      : spec_(spec), progress_(progress), outcome_(outcome) {}

  Result<> run(const Manifest& manifest) {
    if (auto made = make_folders(manifest, spec_.target); !made) {
      Error error = std::move(made).error();
      error.code = ErrorCode::kData;
      return Failure(std::move(error));
    }
    for (const ManifestEntry& entry : manifest.entries) {
      if (entry.kind == ManifestEntry::Kind::kFile) MUSTER_TRY(upload_file(entry));
      if (entry.kind == ManifestEntry::Kind::kLink) MUSTER_TRY(upload_link(entry));
    }
    return {};
  }

 private:
  // False when it is taken; it is then on the list.
  Result<bool> give_name(const fs::path& growing, const fs::path& to, const std::string& path) {
    const int problem = rename_to(growing, to, spec_.overwrite);
    if (problem == 0) return true;
    ::unlink(growing.c_str());
    if (problem != EEXIST) return data_error("naming " + to.string(), problem);
    outcome_.refused.push_back(path);
    return false;
  }

  Result<> upload_file(const ManifestEntry& entry) {
    progress_.at(entry.path);
    const fs::path from = fs::path(spec_.source) / entry.path;
    const fs::path to = fs::path(spec_.target) / entry.path;
    if (is_done(to, entry)) {  // by an earlier try
      outcome_.kept_bytes += entry.size;
      progress_.bytes_done(entry.size);
      progress_.file_done();
      return {};
    }
    if (!spec_.overwrite && ::access(to.c_str(), F_OK) == 0) {
      outcome_.refused.push_back(entry.path);
      return {};
    }
    const std::string doing = "uploading " + from.string() + " to " + to.string();
    const fs::path growing = to.parent_path() / ("." + to.filename().string() + ".muster");
    const Fd source(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
    if (!source) return data_error(doing);
    Fd target(::open(growing.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!target) return data_error(doing);
    auto copied = copy_whole(source, target, entry.size, doing, progress_);
    if (copied) copied = finish(target, entry, doing);
    // A network file system says only here that it had no room.
    if (copied && ::close(target.release()) != 0) copied = data_error(doing);
    if (!copied) {
      ::unlink(growing.c_str());
      return Failure(std::move(copied).error());
    }
    MUSTER_TRY_ASSIGN(const bool named, give_name(growing, to, entry.path));
    if (!named) return {};
    if (!is_done(to, entry)) {
      return fail(ErrorCode::kData, doing + ": what arrived is not what was sent");
    }
    ++outcome_.moved_files;
    outcome_.moved_bytes += entry.size;
    progress_.file_done();
    return {};
  }

  static Result<std::uint64_t> finish(const Fd& target, const ManifestEntry& entry,
                                      const std::string& doing) {
    struct stat info {};
    if (::fstat(target.get(), &info) != 0) return data_error(doing);
    if (static_cast<std::uint64_t>(info.st_size) != entry.size) {
      return fail(ErrorCode::kData, doing + ": " + std::to_string(info.st_size) + " of " +
                                        std::to_string(entry.size) + " bytes arrived");
    }
    const timespec times[2] = {{0, UTIME_OMIT},
                               {static_cast<time_t>(entry.mtime_ns / 1'000'000'000),
                                static_cast<long>(entry.mtime_ns % 1'000'000'000)}};
    // Some stores have no modes.
    static_cast<void>(::fchmod(target.get(), entry.mode));
    if (::futimens(target.get(), times) != 0) return data_error(doing);
    return entry.size;
  }

  Result<> upload_link(const ManifestEntry& entry) {
    const fs::path to = fs::path(spec_.target) / entry.path;
    std::error_code error;
    if (fs::read_symlink(to, error) == entry.link && !error) return {};
    const fs::path growing = to.parent_path() / ("." + to.filename().string() + ".muster");
    ::unlink(growing.c_str());
    if (::symlink(entry.link.c_str(), growing.c_str()) != 0) {
      return data_error("creating the link " + to.string());
    }
    MUSTER_TRY(give_name(growing, to, entry.path));
    return {};
  }

  const TransferSpec& spec_;
  TransferProgress& progress_;
  TransferOutcome& outcome_;
};

// What is there already, what goes, and whether it arrived.
Result<> upload_by_rclone(const TransferSpec& spec, const Manifest& manifest,
                          TransferProgress& progress, TransferOutcome& outcome) {
  const Rclone rclone(spec.rclone, progress);
  MUSTER_TRY_ASSIGN(const TemporaryDirectory scratch,
                    TemporaryDirectory::create(fs::temp_directory_path(), "muster-upload-"));
  const fs::path names = scratch.path() / "names";
  std::string all;
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.kind != ManifestEntry::Kind::kFolder) all += entry.path + "\n";
  }
  if (all.empty()) return {};
  MUSTER_TRY(replace_file(names, all));
  std::set<std::string> taken;
  if (!spec.overwrite) {
    MUSTER_TRY_ASSIGN(const Manifest before, rclone.list_some(spec.target, names));
    for (const ManifestEntry& each : before.entries) taken.insert(each.path);
  }
  std::vector<const ManifestEntry*> sent;
  std::string wanted;
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.kind == ManifestEntry::Kind::kFolder) continue;
    if (taken.contains(entry.path)) {
      outcome.refused.push_back(entry.path);
    } else {
      wanted += entry.path + "\n";
      sent.push_back(&entry);
    }
  }
  if (sent.empty()) return {};
  MUSTER_TRY(replace_file(names, wanted));
  progress.phase(Phase::kCopying);
  MUSTER_TRY(rclone.upload(spec.source, spec.target, names));
  progress.phase(Phase::kListing);
  MUSTER_TRY_ASSIGN(const Manifest after, rclone.list_some(spec.target, names));
  std::map<std::string_view, std::uint64_t> arrived;
  for (const ManifestEntry& each : after.entries) arrived[each.path] = each.size;
  for (const ManifestEntry* each : sent) {
    const auto there = arrived.find(each->path);
    const bool link = each->kind == ManifestEntry::Kind::kLink;  // its file is sent in its place
    if (there == arrived.end() || (!link && there->second != each->size)) {
      return fail(ErrorCode::kData, each->path + " is not in " + spec.target +
                                        " as it was sent, though rclone was content");
    }
    ++outcome.moved_files;
    outcome.moved_bytes += there->second;
  }
  return {};
}

}  // namespace

Result<TransferOutcome> upload(const TransferSpec& spec, TransferProgress& progress) {
  progress.phase(Phase::kListing);
  TransferSpec local = spec;
  local.type = TransferType::kFolder;
  MUSTER_TRY_ASSIGN(const Manifest manifest, list_local(local, progress));
  TransferOutcome outcome;
  outcome.files = manifest.files;
  outcome.bytes = manifest.bytes;
  outcome.remarks = manifest.remarks;
  progress.total(manifest.files, manifest.bytes);
  if (spec.by == TransferBy::kRclone) {
    MUSTER_TRY(upload_by_rclone(spec, manifest, progress, outcome));
    return outcome;
  }
  progress.phase(Phase::kCopying);
  MUSTER_TRY(LocalUpload(spec, progress, outcome).run(manifest));
  return outcome;
}

}  // namespace muster::data
