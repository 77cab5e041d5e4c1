// Copies the files of a manifest from one local folder to another: several at once, holes kept,
// nothing twice.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/fd.h"
#include "launcher/data/transfer_manifest.h"
#include "launcher/data/transfer_progress.h"
#include "muster/result.h"

namespace muster::data {

struct CopyCounts {
  std::uint64_t files = 0;  // copied now
  std::uint64_t bytes = 0;
  std::uint64_t kept_files = 0;  // were there already, whole
  std::uint64_t kept_bytes = 0;  // of those, and of large files that were continued
};

// Makes `to` hold what the manifest says and nothing else.  Files there that are done stay; large
// ones go on from where `ledgers` says.  A file whose source is not what the manifest says is an
// error: it was changed meanwhile.  Errors: kData.
Result<CopyCounts> copy_manifest(const Manifest& manifest, const std::filesystem::path& from,
                                 const std::filesystem::path& to,
                                 const std::filesystem::path& ledgers, TransferProgress& progress);

// The parts of it that other ways of copying share.
Result<> make_folders(const Manifest& manifest, const std::filesystem::path& to);
Result<> make_links(const Manifest& manifest, const std::filesystem::path& to);
void remove_strangers(const Manifest& manifest, const std::filesystem::path& to);

// An error when the files that are not done need more than is free.  `to` exists.
Result<> check_room(const Manifest& manifest, const std::filesystem::path& to,
                    const std::filesystem::path& ledgers);

// Marks a file of the cache as done: read-only, with the source's time.
Result<> finish_file(const Fd& file, const std::filesystem::path& path, const ManifestEntry& entry);

// The same for a file that another program has made; an error when it has not the right size.
Result<> check_and_finish(const std::filesystem::path& path, const ManifestEntry& entry);

// One file whose target is new, to the end; its counts.
Result<std::uint64_t> copy_whole(const Fd& source, const Fd& target, std::uint64_t size,
                                 const std::string& doing, TransferProgress& progress);

}  // namespace muster::data
