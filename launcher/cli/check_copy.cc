#include "launcher/cli/check_copy.h"

#include <chrono>
#include <thread>

#include "launcher/report/run_state.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

// A file gets its name a moment before its record.
constexpr auto kRecordComes = 2s;
constexpr auto kBetweenLooks = 20ms;

bool fits(const store::FileEntry& entry, std::uint64_t size, const std::string& digest) {
  return entry.size == size && (entry.xxh3.empty() || entry.xxh3 == digest);
}

Failure other_bytes(const FoundRun& run, const std::string& path, const std::string& how) {
  return fail(ErrorCode::kData,
              path + " of run " + run.run_id + " has other bytes than were stored: " + how,
              "look at the run with `muster verify " + run.run_id + "`");
}

std::string difference(std::uint64_t was, std::uint64_t size, const std::string& xxh3,
                       const std::string& digest) {
  if (was != size) {
    return "there are " + std::to_string(size) + ", and there were " + std::to_string(was);
  }
  return "its digest is " + digest + ", not " + xxh3;
}

}  // namespace

Result<CopyCheck> CopyCheck::create(const FoundRun& run) {
  CopyCheck check(run);
  const auto state = report::look_at_run(run.directory);
  check.goes_on_ =
      run.directory.is_locked() || (state && (state->phase == report::RunPhase::kRunning ||
                                              state->phase == report::RunPhase::kUnknown));
  check.grows_ = check.goes_on_ || !state || state->phase != report::RunPhase::kEnded;
  MUSTER_TRY_ASSIGN(check.files_, store::read_manifest(run.directory.files_jsonl()));
  MUSTER_TRY_ASSIGN(check.streams_, store::read_ledger(run.directory.streams_jsonl()));
  return check;
}

const store::FileEntry* CopyCheck::entry_of(const std::string& path,
                                            const store::FileStates& states) const {
  const auto known = states.find(path);
  return known != states.end() && known->second.stored ? &*known->second.stored : nullptr;
}

Result<> CopyCheck::check(const std::string& path, std::uint64_t size,
                          const std::string& digest) const {
  const store::FileEntry* entry = entry_of(path, files_);
  if (entry == nullptr) return check_stream(path, size, digest);
  if (fits(*entry, size, digest)) return {};
  // How far it has come is written down now and then.
  if (grows_ && entry->form == store::FileForm::kAppend && size > entry->size) return {};
  // While ranks run it may have been replaced since the manifest was read.
  const auto deadline = std::chrono::steady_clock::now() + kRecordComes;
  while (goes_on_) {
    const auto now = store::read_manifest(run_.directory.files_jsonl());
    const store::FileEntry* newer = now ? entry_of(path, *now) : nullptr;
    if (newer != nullptr && *newer != *entry) return {};
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(kBetweenLooks);
  }
  return other_bytes(run_, path, difference(entry->size, size, entry->xxh3, digest));
}

// One with gaps is compared by `muster verify`: its digest leaves them out.
Result<> CopyCheck::check_stream(const std::string& path, std::uint64_t size,
                                 const std::string& digest) const {
  const auto known = streams_.find(path);
  if (known == streams_.end() || !known->second.end) return {};
  const store::LedgerEnd& end = *known->second.end;
  if (!known->second.gaps.empty() || known->second.freed) return {};
  if (end.length == size && (end.xxh3.empty() || end.xxh3 == digest)) return {};
  return other_bytes(run_, path, difference(end.length, size, end.xxh3, digest));
}

}  // namespace muster::cli
