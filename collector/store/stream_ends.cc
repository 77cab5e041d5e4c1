#include "collector/store/stream_ends.h"

#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store/digest.h"
#include "collector/store/file_parts.h"
#include "collector/store/safe_path.h"
#include "collector/store/stream_kind.h"

namespace muster::store {
namespace fs = std::filesystem;

namespace {

// What was given back for want of room is not here to be read.
Result<LedgerEnd> with_holes(const RunDirectory& run, const std::string& path, std::uint64_t size) {
  MUSTER_TRY_ASSIGN(const StreamRecords records, read_ledger(run.streams_jsonl()));
  const auto known = records.find(path);
  return LedgerEnd{size, size - (known == records.end() ? 0 : known->second.missing(size)), ""};
}

// What its file has now, read once.
Result<LedgerEnd> end_of_file(const RunDirectory& run, const SafeRoot& root,
                              const std::string& path) {
  MUSTER_TRY_ASSIGN(const Fd fd, root.open_file(path, O_RDONLY));
  struct stat facts {};
  if (::fstat(fd.get(), &facts) != 0) {
    return Failure(system_error(ErrorCode::kRunDirectory, "looking at " + path));
  }
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  if (size > 0 && ::lseek(fd.get(), 0, SEEK_HOLE) < facts.st_size)
    return with_holes(run, path, size);
  Digest digest;
  MUSTER_TRY(digest_parts(fd, {{0, size}}, digest));
  return LedgerEnd{size, size, digest.hex()};
}

}  // namespace

std::vector<std::string> common_streams(const RunDirectory& run) {
  std::vector<std::string> paths = {"events.jsonl", "mpirun.log"};
  for (const std::string folder : {"launcher/", "node_metrics/"}) {
    std::error_code error;
    fs::directory_iterator at(run.root() / folder, error);
    for (; !error && at != fs::directory_iterator(); at.increment(error)) {
      const std::string path = folder + at->path().filename().string();
      const auto kind = kind_of(path);
      if (kind && is_append_only(*kind)) paths.push_back(path);
    }
  }
  return paths;
}

std::vector<std::string> append_only_files(const RunDirectory& run) {
  std::vector<std::string> paths = common_streams(run);
  std::error_code error;
  std::erase_if(paths, [&](const std::string& path) {
    return !fs::is_regular_file(fs::symlink_status(run.root() / path, error));
  });
  fs::recursive_directory_iterator at(run.streams(), error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    if (!fs::is_regular_file(at->symlink_status(ignored))) continue;
    std::string path = at->path().lexically_relative(run.root()).string();
    const auto kind = kind_of(path);
    if (kind && is_append_only(*kind)) paths.push_back(std::move(path));
  }
  return paths;
}

Result<> end_streams(const RunDirectory& run, const std::vector<std::string>& paths) {
  MUSTER_TRY_ASSIGN(const SafeRoot root, SafeRoot::open(run.root().string()));
  StreamLedger ledger(run.streams_jsonl());
  for (const std::string& path : paths) {
    if (const auto end = end_of_file(run, root, path)) ledger.end(path, *end);
  }
  return ledger.flush();
}

}  // namespace muster::store
