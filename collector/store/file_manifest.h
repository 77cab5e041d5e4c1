// Which files of the output folders are stored, in which generation, and what became of those that
// are not: .muster/files.jsonl, one object a line, append-only (docs/run-store.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/line_log.h"
#include "muster/result.h"

namespace muster::store {

enum class FileForm { kWhole, kAppend, kSymlink, kLink };
const char* to_text(FileForm form);

// One generation of a file, complete (an append-only one: as far as it has come).
struct FileEntry {
  std::string path;  // relative to the run directory: "outputs/model.pt"
  std::uint64_t generation = 0;
  std::uint64_t size = 0;
  std::string xxh3;  // XXH3-128 of its bytes, in hex; "" where it has none, or still grows
  std::int64_t mtime_ns = 0;
  std::uint32_t mode = 0644;
  FileForm form = FileForm::kWhole;
  int owner_rank = 0;       // the lowest rank of whoever wrote it
  std::string target = {};  // of a symbolic link; of a hard link the path of the stored file
  std::string writer = {};  // "node-1"; "" for the run directory's own

  friend bool operator==(const FileEntry&, const FileEntry&) = default;
};

// The last word on one path.
struct FileState {
  std::optional<FileEntry> stored;
  std::string stored_at = {};  // "2026-11-23T06:15:00.123456Z": when that was
  bool deleted = false;        // gone at its writer; the stored copy was kept
  bool copy_gone = false;      // no, the copy is gone as well: it has made way
  std::string refused = {};    // why it is not stored, and will not be
  std::string waiting = {};    // why it is not stored yet
  // Another writer's file of that name is at `path`; the name itself belongs to that rank's.
  struct Conflict {
    std::string path;
    int with_rank = 0;
    friend bool operator==(const Conflict&, const Conflict&) = default;
  };
  std::vector<Conflict> conflicts = {};

  friend bool operator==(const FileState&, const FileState&) = default;
};

using FileStates = std::map<std::string, FileState, std::less<>>;  // by path

// As of streams' ledger: what is no line is passed over, a missing file is an empty one.
Result<FileStates> read_manifest(const std::filesystem::path& path);
FileStates parse_manifest(std::string_view text);

class FileManifest {
 public:
  explicit FileManifest(std::filesystem::path path) : log_(std::move(path)) {}

  void stored(const FileEntry& entry);
  void deleted(std::string_view path);
  // And of its copy, too, nothing is here: something of another kind has its name, or that of a
  // folder above it.  Written down before it goes.
  void made_way(std::string_view path);
  void conflict(std::string_view path, const FileState::Conflict& conflict);
  // What was stored at `path` is at the conflict's path from now on: a lower rank has the name.
  void moved(std::string_view path, const FileState::Conflict& conflict);
  void refused(std::string_view path, std::string_view why);
  void waiting(std::string_view path, std::string_view why);

  // As StreamLedger's.
  Result<> flush() { return log_.flush(); }
  bool has_pending() const { return log_.has_pending(); }
  Result<> sync() { return log_.sync(); }

 private:
  LineLog log_;
};

}  // namespace muster::store
