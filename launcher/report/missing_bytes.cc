#include "launcher/report/missing_bytes.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "collector/store/run_directory.h"
#include "collector/store/stream_ledger.h"

namespace muster::report {
namespace {

namespace fs = std::filesystem;

constexpr int kDepth = 4;  // ranks/00003/attempt-0/stdout.log

// Of the run that the file belongs to, if it has a ledger.
std::optional<store::RunDirectory> run_of(const fs::path& file) {
  fs::path root = file.parent_path();
  for (int i = 0; i < kDepth && !root.empty(); ++i, root = root.parent_path()) {
    std::error_code error;
    store::RunDirectory run(root);
    if (fs::exists(run.streams_jsonl(), error)) return run;
  }
  return std::nullopt;
}

std::optional<store::StreamRecord> record_of(const fs::path& file) {
  const auto run = run_of(file);
  if (!run) return std::nullopt;
  auto records = store::read_ledger(run->streams_jsonl());
  if (!records) return std::nullopt;
  const auto found = records->find(file.lexically_relative(run->root()).string());
  if (found == records->end()) return std::nullopt;
  return std::move(found->second);
}

std::string words_of(const store::FreedRange& freed) {
  return freed.collector.empty() ? "a collector has them" : "they are at " + freed.collector;
}

}  // namespace

std::vector<store::Gap> missing_parts(const fs::path& stream_file) {
  std::vector<store::Gap> parts;
  const auto record = record_of(stream_file);
  if (!record) return parts;
  if (record->freed) parts.push_back({0, record->freed->to, words_of(*record->freed)});
  for (const store::Gap& gap : record->gaps) {
    if (gap.to) parts.push_back(gap);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& one, const auto& other) { return one.from < other.from; });
  return parts;
}

std::uintmax_t ledger_size_of(const fs::path& stream_file) {
  const auto run = run_of(stream_file);
  std::error_code error;
  const auto size = run ? fs::file_size(run->streams_jsonl(), error) : 0;
  return error ? 0 : size;
}

std::string missing_bytes_reason(const fs::path& file, std::uint64_t from) {
  const auto record = record_of(file);
  if (!record) return "";
  for (const store::Gap& gap : record->gaps) {
    if (gap.from <= from && (!gap.to || from < *gap.to)) return gap.reason;
  }
  if (record->freed && from < record->freed->to) {
    return words_of(*record->freed);
  }
  return "";
}

std::string missing_bytes_line(std::uint64_t from, std::optional<std::uint64_t> to,
                               std::string_view reason) {
  return "… " + (to ? format_bytes(*to - from) + " are missing here" : "what follows is missing") +
         (reason.empty() ? "" : " (" + without_controls(reason) + ")") + " …";
}

}  // namespace muster::report
