#include "collector/store/stream_ledger.h"

#include <algorithm>
#include <chrono>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "collector/store/record_json.h"

namespace muster::store {

using Json = nlohmann::ordered_json;

namespace {

std::string line_of(Json json) {
  json["at"] = format_utc(std::chrono::system_clock::now());
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json about(std::string_view stream) {
  Json json;
  put_name(json, "stream", stream);
  return json;
}

void add_gap(std::vector<Gap>& gaps, Gap gap) {
  const auto place =
      std::lower_bound(gaps.begin(), gaps.end(), gap.from,
                       [](const Gap& one, std::uint64_t from) { return one.from < from; });
  if (place == gaps.end() || place->from != gap.from) {
    gaps.insert(place, std::move(gap));
  } else if (gap.to) {
    *place = std::move(gap);
  }
}

std::optional<Gap> read_gap(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto from = count_of(json, "from");
  const auto reason = text_of(json, "reason");
  if (!from || !reason) return std::nullopt;
  const auto to = count_of(json, "to");
  if (to && *to < *from) return std::nullopt;
  return Gap{*from, to, *reason};
}

std::optional<LedgerEnd> read_end(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto length = count_of(json, "length");
  const auto stored = count_of(json, "stored");
  if (!length || !stored) return std::nullopt;
  return LedgerEnd{*length, *stored, text_of(json, "xxh3").value_or(""),
                   count_of(json, "certain").value_or(kAll)};
}

std::optional<FreedRange> read_freed(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto to = count_of(json, "to");
  if (!to) return std::nullopt;
  return FreedRange{*to, text_of(json, "collector").value_or("")};
}

void go_back(StreamRecord& record, std::uint64_t size) {
  std::erase_if(record.gaps, [&](const Gap& gap) { return gap.from >= size; });
  for (Gap& gap : record.gaps) {
    if (gap.to) gap.to = std::min(*gap.to, size);
  }
  record.end.reset();
}

void read_record(std::string_view line, StreamRecords& records) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return;
  const auto stream = name_of(json, "stream");
  if (!stream) return;
  if (const auto found = json.find("gap"); found != json.end()) {
    if (auto gap = read_gap(*found)) add_gap(records[*stream].gaps, std::move(*gap));
  } else if (const auto ended = json.find("end"); ended != json.end()) {
    if (auto end = read_end(*ended)) records[*stream].end = std::move(end);
  } else if (const auto freed = json.find("freed"); freed != json.end()) {
    auto range = read_freed(*freed);
    StreamRecord& record = records[*stream];
    if (range && (!record.freed || record.freed->to < range->to)) record.freed = std::move(range);
  } else if (const auto size = count_of(json, "back")) {
    go_back(records[*stream], *size);
  } else if (auto writer = text_of(json, "opened")) {
    records[*stream].writer = std::move(*writer);
  }
}

}  // namespace

std::uint64_t StreamRecord::missing(std::uint64_t limit) const {
  std::uint64_t sum = 0;
  std::uint64_t counted_to = 0;
  for (const Gap& gap : gaps) {
    if (!gap.to) continue;
    const std::uint64_t from = std::max(gap.from, counted_to);
    const std::uint64_t to = std::min(*gap.to, limit);
    if (to <= from) continue;
    sum += to - from;
    counted_to = to;
  }
  return sum;
}

StreamRecords parse_ledger(std::string_view text) {
  StreamRecords records;
  for_each_line(text, [&](std::string_view line) { read_record(line, records); });
  return records;
}

Result<StreamRecords> read_ledger(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return StreamRecords();
  MUSTER_TRY_ASSIGN(const std::string text, read_regular_file(path));
  return parse_ledger(text);
}

void StreamLedger::gap(std::string_view stream, const Gap& gap) {
  Json json = about(stream);
  json["gap"] = {{"from", gap.from}, {"to", nullptr}, {"reason", gap.reason}};
  if (gap.to) json["gap"]["to"] = *gap.to;
  log_.add(line_of(std::move(json)));
}

void StreamLedger::end(std::string_view stream, const LedgerEnd& end) {
  Json json = about(stream);
  json["end"] = {{"length", end.length}, {"stored", end.stored}, {"xxh3", end.xxh3}};
  if (end.certain != kAll) json["end"]["certain"] = end.certain;
  log_.add_later(line_of(std::move(json)));
}

void StreamLedger::freed(std::string_view stream, const FreedRange& range) {
  Json json = about(stream);
  json["freed"] = {{"to", range.to}, {"collector", range.collector}};
  log_.add(line_of(std::move(json)));
}

void StreamLedger::opened(std::string_view stream, std::string_view writer) {
  Json json = about(stream);
  json["opened"] = writer;
  log_.add(line_of(std::move(json)));
}

void StreamLedger::back(std::string_view stream, std::uint64_t size) {
  Json json = about(stream);
  json["back"] = size;
  log_.add(line_of(std::move(json)));
}

}  // namespace muster::store
