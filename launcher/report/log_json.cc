#include "launcher/report/log_json.h"

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"

namespace muster::report {
namespace {

using Json = nlohmann::ordered_json;

std::string base64(std::string_view bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    unsigned word = 0;
    for (std::size_t byte = 0; byte < 3; ++byte) {
      word = word << 8 |
             (at + byte < bytes.size() ? static_cast<unsigned char>(bytes[at + byte]) : 0U);
    }
    for (std::size_t digit = 0; digit < 4; ++digit) {
      text += at + digit <= bytes.size() ? kDigits[word >> (18 - 6 * digit) & 63] : '=';
    }
  }
  return text;
}

Json head(const LogLabels& labels, std::optional<plan::WallTime> time, std::uint64_t offset) {
  Json json;
  json["time"] = time ? Json(format_utc(*time)) : Json(nullptr);
  if (labels.rank) json["rank"] = *labels.rank;
  if (!labels.node.empty()) json["node"] = labels.node;
  json["stream"] = labels.stream;
  json["offset"] = offset;
  return json;
}

std::string dumped(const Json& json) {
  return without_raw_controls(json.dump(-1, ' ', false, Json::error_handler_t::replace)) + "\n";
}

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(Json(text).dump());
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

}  // namespace

std::string json_line(const LogLabels& labels, std::optional<plan::WallTime> time,
                      const CutLine& line) {
  Json json = head(labels, time, line.offset);
  std::string text(line.bytes);
  if (!is_utf8(text)) json["base64"] = base64(line.bytes);
  json["text"] = std::move(text);
  if (!line.newline) json["newline"] = false;
  return dumped(json);
}

std::string json_line(const LogLabels& labels, std::optional<plan::WallTime> time,
                      const store::Gap& gap) {
  Json json = head(labels, time, gap.from);
  json["gap"] = {{"bytes", gap.to ? Json(*gap.to - gap.from) : Json(nullptr)},
                 {"reason", gap.reason}};
  return dumped(json);
}

}  // namespace muster::report
