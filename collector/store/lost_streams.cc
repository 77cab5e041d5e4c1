#include "collector/store/lost_streams.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "base/files.h"
#include "collector/store/file_parts.h"
#include "collector/store/recovery.h"
#include "collector/store/safe_path.h"
#include "collector/store/stream_ends.h"
#include "collector/store/stream_kind.h"
#include "collector/store/stream_ledger.h"

namespace muster::store {
namespace {

constexpr std::uint64_t kBlock = 4096;  // what a file system loses it loses in whole blocks

Failure failure(const std::string& doing) {
  return Failure(system_error(ErrorCode::kRunDirectory, doing));
}

bool is_pipe(StreamKind kind, const std::string& path) {
  return kind == StreamKind::kStdout || kind == StreamKind::kStderr ||
         (kind == StreamKind::kMetrics && path.starts_with("ranks/"));
}

bool has_records(const std::string& path) {
  return path == "events.jsonl" || path.starts_with("node_metrics/");
}

// Blocks of zeros from `certain` on: what the disk forgot reads as that.
Result<std::vector<Gap>> forgotten(const Fd& fd, std::uint64_t certain, std::uint64_t size) {
  std::vector<Gap> gaps;
  std::vector<char> block(kBlock);
  for (std::uint64_t at = certain; at < size;) {
    const std::uint64_t end = std::min(size, (at / kBlock + 1) * kBlock);
    const ssize_t got = ::pread(fd.get(), block.data(), end - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return failure("reading what a killed launcher left");
    const auto count = static_cast<std::size_t>(got);
    const bool zeros =
        std::all_of(block.begin(), block.begin() + got, [](char c) { return c == 0; });
    if (zeros && !gaps.empty() && gaps.back().to == at) {
      gaps.back().to = at + count;
    } else if (zeros) {
      gaps.push_back({at, at + count, gap_reason::kDiskError});
    }
    at += count;
  }
  return gaps;
}

class LostStreams {
 public:
  LostStreams(const RunDirectory& run, SafeRoot root, StreamRecords records, Recovery recovery)
      : run_(run),
        root_(std::move(root)),
        records_(std::move(records)),
        recovery_(std::move(recovery)),
        ledger_(run.streams_jsonl()) {}

  Result<> end(const std::string& path) {
    const auto kind = kind_of(path);
    StreamRecord record = records_[path];
    if (!kind || record.end) return {};
    MUSTER_TRY_ASSIGN(const Fd fd, root_.open_file(path, O_RDWR));
    MUSTER_TRY_ASSIGN(std::uint64_t size, size_of(fd));
    const std::uint64_t certain = recovery_.certain(path, size);
    if (certain < size && has_records(path)) {
      MUSTER_TRY_ASSIGN(const std::string text, read_regular_file(run_.root() / path));
      size = sound_length(text, certain);
      if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return failure("cutting " + path);
    } else if (certain < size) {
      MUSTER_TRY_ASSIGN(auto gaps, forgotten(fd, certain, size));
      for (Gap& gap : gaps) add(path, record, std::move(gap));
    }
    const std::uint64_t missing = record.missing(size);
    // What is freed at a collector cannot be read here.
    std::string digest;
    if (!record.freed) {
      Digest sum;
      if (digest_parts(fd, stored_parts(record.gaps, size), sum)) digest = sum.hex();
    }
    if (is_pipe(*kind, path)) {
      ledger_.gap(path, {size, std::nullopt, gap_reason::kLauncherLost});
      ++count_;
    }
    ledger_.end(path, {size, size - missing, std::move(digest), certain < size ? certain : kAll});
    return {};
  }

  Result<int> finish() {
    MUSTER_TRY(ledger_.sync());
    return count_;
  }

 private:
  static Result<std::uint64_t> size_of(const Fd& fd) {
    struct stat facts {};
    if (::fstat(fd.get(), &facts) != 0) return failure("looking at what a killed launcher left");
    return static_cast<std::uint64_t>(facts.st_size);
  }

  // Beside gaps that are known: those are zeros as well.
  void add(const std::string& path, StreamRecord& record, Gap gap) {
    for (const Gap& known : record.gaps) {
      if (!known.to || *known.to <= gap.from || known.from >= *gap.to) continue;
      if (known.from <= gap.from) gap.from = *known.to;
      if (gap.from >= *gap.to) return;
      if (known.from > gap.from) {
        add(path, record, {gap.from, known.from, gap.reason});
        return add(path, record, {std::min(*known.to, *gap.to), gap.to, gap.reason});
      }
    }
    if (gap.from >= *gap.to) return;
    ledger_.gap(path, gap);
    record.gaps.push_back(gap);
    std::sort(record.gaps.begin(), record.gaps.end(),
              [](const Gap& one, const Gap& other) { return one.from < other.from; });
  }

  const RunDirectory& run_;
  SafeRoot root_;
  StreamRecords records_;
  Recovery recovery_;
  StreamLedger ledger_;
  int count_ = 0;
};

// What follows a torn record is none of it: it may be older, or half of one.
Result<> cut_records(const RunDirectory& run, const Recovery& recovery, const std::string& path) {
  std::error_code error;
  const std::filesystem::path file = run.root() / path;
  if (!recovery.machine_ended() || !std::filesystem::exists(file, error)) return {};
  MUSTER_TRY_ASSIGN(const std::string text, read_regular_file(file));
  const std::uint64_t sound = sound_length(text, recovery.certain(path, text.size()));
  if (sound == text.size()) return {};
  if (::truncate(file.c_str(), static_cast<off_t>(sound)) != 0) return failure("cutting " + path);
  return {};
}

}  // namespace

Result<int> end_lost_streams(const RunDirectory& run) {
  Recovery recovery(run);
  MUSTER_TRY(cut_records(run, recovery, ".muster/streams.jsonl"));
  MUSTER_TRY(cut_records(run, recovery, ".muster/files.jsonl"));
  MUSTER_TRY_ASSIGN(StreamRecords records, read_ledger(run.streams_jsonl()));
  MUSTER_TRY_ASSIGN(SafeRoot root, SafeRoot::open(run.root().string()));
  run.remove_incoming();  // a killed launcher goes on with nothing
  LostStreams lost(run, std::move(root), std::move(records), std::move(recovery));
  for (const std::string& path : append_only_files(run)) MUSTER_TRY(lost.end(path));
  return lost.finish();
}

}  // namespace muster::store
