#include "collector/store/verify.h"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <sys/stat.h>

#include "base/text.h"
#include "collector/store/digest.h"
#include "collector/store/file_manifest.h"
#include "collector/store/file_parts.h"
#include "collector/store/recovery.h"
#include "collector/store/safe_path.h"
#include "collector/store/stream_kind.h"
#include "collector/store/stream_ledger.h"

namespace muster::store {
namespace fs = std::filesystem;
namespace {

// What lies in a run directory and is no part of the store.
bool is_passed_over(const std::string& name) {
  static const std::set<std::string> kNames = {".muster",   "scratch",      ".node",   "tb",
                                               "user_logs", "azureml-logs", ".reserve"};
  return kNames.contains(name) || name.starts_with("metrics.db");
}

// Bytes that were stored and then given up, to keep within a bound.
std::uint64_t dropped_later(const std::vector<Gap>& gaps) {
  std::uint64_t bytes = 0;
  for (const Gap& gap : gaps) {
    if (gap.reason == "overflow" && gap.to) bytes += *gap.to - gap.from;
  }
  return bytes;
}

class Verifier {
 public:
  Verifier(SafeRoot root, StreamRecords records, FileStates files, const RunDirectory& run,
           Recovery recovery, StoreCheck& check)
      : recovery_(std::move(recovery)),
        root_(std::move(root)),
        records_(std::move(records)),
        files_(std::move(files)),
        run_(run),
        check_(check) {}

  void look() {
    for (const std::string& path : stored_paths()) {
      const auto kind = kind_of(path);
      if (records_.contains(path)) continue;
      if (kind == StreamKind::kFile) {
        if (!files_.contains(path)) unrecorded_file(path);
      } else if (kind && is_append_only(*kind) && *kind != StreamKind::kIndex) {
        check_stream(path, StreamRecord());
      }
    }
    for (const auto& [path, record] : records_) {
      const auto kind = kind_of(path);
      if (kind && is_append_only(*kind)) check_stream(path, record);
    }
    for (const auto& [path, state] : files_) check_file(path, state);
    const auto by_path = [](const auto& one, const auto& other) { return one.path < other.path; };
    std::sort(check_.streams.begin(), check_.streams.end(), by_path);
    std::sort(check_.files.begin(), check_.files.end(), by_path);
  }

 private:
  std::vector<std::string> stored_paths() const {
    std::vector<std::string> paths;
    std::error_code error;
    fs::recursive_directory_iterator at(run_.root(), error);
    for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
      if (at.depth() == 0 && is_passed_over(at->path().filename().string())) {
        at.disable_recursion_pending();
        continue;
      }
      std::error_code ignored;
      if (fs::is_directory(at->symlink_status(ignored))) continue;
      paths.push_back(at->path().lexically_relative(run_.root()).string());
    }
    return paths;
  }

  // "" when those parts of a file have that digest.
  std::string digest_problem(const std::string& path, const std::vector<FilePart>& parts,
                             const std::string& digest, const char* otherwise) {
    const auto fd = root_.open_file(path, O_RDONLY);
    if (!fd) return fd.error().message;
    Digest sum;
    if (const auto read = digest_parts(*fd, parts, sum); !read) return read.error().message;
    for (const FilePart& part : parts) check_.bytes_read += part.to - part.from;
    return sum.hex() == digest ? "" : otherwise;
  }

  void check_stream(const std::string& path, const StreamRecord& record) {
    StreamCheck check;
    check.path = path;
    check.freed = record.freed ? record.freed->to : 0;
    check.problem = stream_problem(path, record, check);
    if (!check.problem.empty()) check.state = CheckState::kWrong;
    check_.streams.push_back(std::move(check));
  }

  std::string stream_problem(const std::string& path, const StreamRecord& record,
                             StreamCheck& check) {
    const auto facts = root_.look(path);
    if (!facts) return facts.error().message;
    if (!*facts && record.end && record.end->length > 0) return "its file is gone";
    if (*facts && !S_ISREG((*facts)->st_mode)) return "it is no regular file";
    const auto size = *facts ? static_cast<std::uint64_t>((*facts)->st_size) : 0;
    check.length = record.end ? record.end->length : size;
    check.missing = record.missing(check.length);
    check.stored = check.length - check.missing;
    for (std::size_t at = 0; at < record.gaps.size(); ++at) {
      const Gap& gap = record.gaps[at];
      if (!gap.to) check.missing_more = true;
      if (at > 0 && record.gaps[at - 1].to.value_or(0) > gap.from) {
        return "two gaps overlap at " + std::to_string(gap.from);
      }
      if (record.end && gap.to.value_or(gap.from) > check.length) {
        return "a gap goes beyond its end, to " + std::to_string(gap.to.value_or(gap.from));
      }
      if (!gap.to && gap.from < check.length && record.end) {
        return "bytes follow a gap of unknown length at " + std::to_string(gap.from);
      }
    }
    const std::uint64_t durable = recovery_.durable(path).value_or(0);
    if (size < durable && !check_.is_growing) {
      return "its file has " + std::to_string(size) + " bytes, and had " + std::to_string(durable) +
             " on the disk";
    }
    std::uint64_t certain = check.length;
    if (record.end) certain = std::min(record.end->certain, check.length);
    if (!record.end && !check_.is_growing) certain = recovery_.certain(path, size);
    // Gaps are certain: nothing is there.
    check.uncertain = check.length - certain - (check.missing - record.missing(certain));
    if (!record.end) {
      // Events end last: whoever wrote that down knew of every stream.
      const auto events = records_.find("events.jsonl");
      const bool ends_known = events != records_.end() && events->second.end;
      check.state = check_.is_growing ? CheckState::kGrowing
                    : ends_known      ? CheckState::kUnrecorded
                                      : CheckState::kEndsUnknown;
      return "";
    }
    const LedgerEnd& end = *record.end;
    // A gap at the end needs no hole.
    const bool ends_with_gap = !record.gaps.empty() && record.gaps.back().to == end.length &&
                               record.gaps.back().from <= size;
    if (size != end.length && !ends_with_gap) {
      return "its file has " + std::to_string(size) + " bytes, and its end is at " +
             std::to_string(end.length);
    }
    // What a bound took away later was stored when its end was written down.
    const std::uint64_t dropped = dropped_later(record.gaps);
    const bool counts_dropped = dropped > 0 && end.stored + check.missing - dropped == end.length;
    if (end.stored + check.missing != end.length && !counts_dropped) {
      return std::to_string(end.stored) + " stored and " + std::to_string(check.missing) +
             " missing bytes are not its length, " + std::to_string(end.length);
    }
    // What was freed can only be read at the collector.
    if (end.xxh3.empty() || check.freed > 0 || size == 0 || counts_dropped) return "";
    return digest_problem(path, stored_parts(record.gaps, size), end.xxh3,
                          "its bytes are not those that were written");
  }

  void unrecorded_file(const std::string& path) {
    const auto facts = root_.look(path);
    const auto size = facts && *facts ? static_cast<std::uint64_t>((*facts)->st_size) : 0;
    check_.files.push_back({path, CheckState::kUnrecorded, size, ""});
  }

  void check_file(const std::string& path, const FileState& state) {
    if (!state.stored) {
      const std::string& why = state.refused.empty() ? state.waiting : state.refused;
      if (!why.empty()) check_.files.push_back({path, CheckState::kUnrecorded, 0, why});
      return;
    }
    if (state.copy_gone) return;  // on record
    FileCheck check{path, CheckState::kOk, state.stored->size, ""};
    check.problem = file_problem(*state.stored);
    if (!check.problem.empty()) {
      // It may have been replaced since its record was read.
      const auto now = read_manifest(run_.files_jsonl());
      const auto found = now ? now->find(path) : FileStates::const_iterator();
      const bool changed = now && (found == now->end() || found->second.stored != state.stored);
      const bool grows = check_.is_growing || changed;
      check.state = grows ? CheckState::kGrowing : CheckState::kWrong;
      if (grows) check.problem.clear();
    }
    check_.files.push_back(std::move(check));
  }

  std::string file_problem(const FileEntry& entry) {
    const auto facts = root_.look(entry.path);
    if (!facts) return facts.error().message;
    if (entry.form == FileForm::kSymlink) {
      // One that leads out is recorded and not made.
      return !*facts || S_ISLNK((*facts)->st_mode) ? "" : "it is no link any more";
    }
    if (!*facts) return "its file is gone";
    if (!S_ISREG((*facts)->st_mode)) return "it is no regular file";
    const auto size = static_cast<std::uint64_t>((*facts)->st_size);
    // One that grows is recorded now and then.
    if (entry.form == FileForm::kAppend && size > entry.size) return "";
    if (size != entry.size) {
      return "it has " + std::to_string(size) + " bytes, and had " + std::to_string(entry.size);
    }
    if (entry.xxh3.empty()) return "";
    return digest_problem(entry.path, {{0, size}}, entry.xxh3,
                          "its bytes are not those that it had");
  }

  Recovery recovery_;
  SafeRoot root_;
  StreamRecords records_;
  FileStates files_;
  const RunDirectory& run_;
  StoreCheck& check_;
};

}  // namespace

const char* to_text(CheckState state) {
  switch (state) {
    case CheckState::kOk: return "ok";
    case CheckState::kGrowing: return "growing";
    case CheckState::kEndsUnknown: return "ends_unknown";
    case CheckState::kUnrecorded: return "unrecorded";
    case CheckState::kWrong: return "wrong";
  }
  return "wrong";
}

std::vector<std::string> StoreCheck::problems() const {
  std::vector<std::string> all;
  for (const StreamCheck& stream : streams) {
    if (stream.state == CheckState::kWrong) all.push_back(stream.path + ": " + stream.problem);
  }
  for (const FileCheck& file : files) {
    if (file.state == CheckState::kWrong) all.push_back(file.path + ": " + file.problem);
  }
  return all;
}

Result<StoreCheck> verify(const RunDirectory& run) {
  StoreCheck check;
  check.is_growing = run.is_locked();
  auto root = SafeRoot::open(run.root().string());
  if (!root) return fail(ErrorCode::kData, root.error().message);
  // The records before the files: what has its end by now does not change any more.
  Recovery recovery(run);
  check.machine_ended = recovery.machine_ended();
  MUSTER_TRY_ASSIGN(StreamRecords records, recovery.read_streams(run));
  MUSTER_TRY_ASSIGN(FileStates files, recovery.read_files(run));
  Verifier(std::move(*root), std::move(records), std::move(files), run, std::move(recovery), check)
      .look();
  return check;
}

}  // namespace muster::store
