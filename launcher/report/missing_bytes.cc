#include "launcher/report/missing_bytes.h"

#include <optional>

#include "base/text.h"
#include "collector/store/run_directory.h"
#include "collector/store/stream_ledger.h"

namespace muster::report {
namespace {

namespace fs = std::filesystem;

constexpr int kDepth = 4;  // ranks/00003/attempt-0/stdout.log

std::optional<store::StreamRecord> record_of(const fs::path& file) {
  fs::path root = file.parent_path();
  for (int i = 0; i < kDepth && !root.empty(); ++i, root = root.parent_path()) {
    std::error_code error;
    const store::RunDirectory run(root);
    if (!fs::exists(run.streams_jsonl(), error)) continue;
    auto records = store::read_ledger(run.streams_jsonl());
    if (!records) return std::nullopt;
    const auto found = records->find(file.lexically_relative(root).string());
    if (found == records->end()) return std::nullopt;
    return std::move(found->second);
  }
  return std::nullopt;
}

}  // namespace

std::string missing_bytes_reason(const fs::path& file, std::uint64_t from) {
  const auto record = record_of(file);
  if (!record) return "";
  for (const store::Gap& gap : record->gaps) {
    if (gap.from <= from && (!gap.to || from < *gap.to)) return gap.reason;
  }
  if (record->freed && from < record->freed->to) {
    return record->freed->collector.empty() ? "a collector has them"
                                            : "they are at " + record->freed->collector;
  }
  return "";
}

std::string missing_bytes_line(const fs::path& stream_file, std::uint64_t from, std::uint64_t to) {
  return missing_bytes_line(from, to, missing_bytes_reason(stream_file, from));
}

std::string missing_bytes_line(std::uint64_t from, std::optional<std::uint64_t> to,
                               std::string_view reason) {
  return "… " + (to ? format_bytes(*to - from) + " are missing here" : "what follows is missing") +
         (reason.empty() ? "" : " (" + without_controls(reason) + ")") + " …";
}

}  // namespace muster::report
