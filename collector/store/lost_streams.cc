#include "collector/store/lost_streams.h"

#include <filesystem>

#include "collector/store/stream_kind.h"
#include "collector/store/stream_ledger.h"

namespace muster::store {
namespace fs = std::filesystem;

Result<int> end_lost_streams(const RunDirectory& run) {
  MUSTER_TRY_ASSIGN(const StreamRecords records, read_ledger(run.streams_jsonl()));
  StreamLedger ledger(run.streams_jsonl());
  int count = 0;
  std::error_code error;
  fs::recursive_directory_iterator entries(run.streams(), error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::error_code ignored;
    if (!fs::is_regular_file(entries->symlink_status(ignored))) continue;
    const std::string path = entries->path().lexically_relative(run.root()).string();
    const auto kind = kind_of(path);
    if (kind != StreamKind::kStdout && kind != StreamKind::kStderr &&
        kind != StreamKind::kMetrics) {
      continue;
    }
    const auto known = records.find(path);
    if (known != records.end() && known->second.end) continue;
    const std::uint64_t size = entries->file_size(ignored);
    ledger.gap(path, {size, std::nullopt, gap_reason::kLauncherLost});
    const std::uint64_t missing = known == records.end() ? 0 : known->second.missing(size);
    ledger.end(path, {size, size - missing, ""});
    ++count;
  }
  MUSTER_TRY(ledger.sync());
  return count;
}

}  // namespace muster::store
