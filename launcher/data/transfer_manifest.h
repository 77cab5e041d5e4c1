// What a source holds: the list that a transfer works through, and by which one version of the
// source is told from another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/data/transfer_progress.h"
#include "launcher/data/transfer_spec.h"
#include "muster/result.h"

namespace muster::data {

struct ManifestEntry {
  enum class Kind { kFolder, kFile, kLink };

  Kind kind = Kind::kFile;
  std::string path;             // below the source; of a single file its name
  std::uint64_t size = 0;       // of a file
  std::uint64_t allocated = 0;  // what it takes on a disk: less than its size when it is sparse
  std::int64_t mtime_ns = 0;    // since 1970; 0: the source does not say
  unsigned mode = 0644;
  std::string link = {};  // where a link leads: inside the source, relative
  std::string hash = {};  // "md5:9e107d9d…", where the source has one
};

struct Manifest {
  std::vector<ManifestEntry> entries;  // by path
  std::vector<std::string> remarks;    // what is left out, and why
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;

  // Sorts and counts; every maker of a manifest calls it last.
  void settle();
  // 16 hex digits of names, sizes, times and hashes.
  std::string version() const;
};

// Of a folder, or of one file.  Links that lead to something inside are kept; what others lead to
// is taken in their place.  Errors: kData.
Result<Manifest> list_local(const TransferSpec& spec, TransferProgress& progress);

// The one file that a reader of the manifest may take for done: it has the size and the time that
// the list says, and the time is set last.
bool is_done(const std::filesystem::path& file, const ManifestEntry& entry);

// 16 hex digits of any text.
std::string short_hash(std::string_view text);

}  // namespace muster::data
