#include "collector/store/recovery.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "collector/store/writer.h"

namespace muster::store {

Recovery::Recovery(const RunDirectory& run) {
  auto durable = read_durable_state(run);
  std::string boot;
  if (durable) {
    boot = durable->boot_id;
    durable_ = std::move(*durable);
  } else if (const auto writer = read_writer(run)) {
    boot = writer->boot_id;
  }
  const std::string now = this_boot();
  machine_ended_ = !boot.empty() && !now.empty() && boot != now;
}

std::optional<std::uint64_t> Recovery::durable(std::string_view path) const {
  const auto found = durable_.streams.find(path);
  if (found == durable_.streams.end()) return std::nullopt;
  return found->second;
}

std::uint64_t Recovery::certain(std::string_view path, std::uint64_t size) const {
  return machine_ended_ ? std::min(size, durable(path).value_or(0)) : size;
}

Result<std::string> Recovery::read_sound(const RunDirectory& run, const std::string& path) const {
  std::error_code error;
  if (!std::filesystem::exists(run.root() / path, error)) return std::string();
  MUSTER_TRY_ASSIGN(std::string text, read_regular_file(run.root() / path));
  if (machine_ended_) text.resize(sound_length(text, certain(path, text.size())));
  return text;
}

Result<StreamRecords> Recovery::read_streams(const RunDirectory& run) const {
  MUSTER_TRY_ASSIGN(const std::string text, read_sound(run, ".muster/streams.jsonl"));
  return parse_ledger(text);
}

Result<FileStates> Recovery::read_files(const RunDirectory& run) const {
  MUSTER_TRY_ASSIGN(const std::string text, read_sound(run, ".muster/files.jsonl"));
  return parse_manifest(text);
}

std::uint64_t sound_length(std::string_view text, std::uint64_t certain) {
  std::size_t at = std::min<std::size_t>(certain, text.size());
  if (at > 0) at = text.rfind('\n', at - 1) + 1;  // npos + 1 is 0
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(at, end - at);
    if (!line.empty() && (line.front() != '{' || !nlohmann::json::accept(line))) break;
    at = end + 1;
  }
  return at;
}

}  // namespace muster::store
