#include "launcher/report/clock_offsets.h"

#include <algorithm>
#include <deque>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "collector/store/line_log.h"

namespace muster::report {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLastOnes = 16;
constexpr std::size_t kLargestFile = 64U << 20;

struct Measurement {
  std::int64_t offset_ns = 0;
  std::int64_t round_trip_ns = 0;
};

}  // namespace

ClockOffsets clock_offsets_of(std::string_view text) {
  std::map<std::string, std::deque<Measurement>> measured;
  store::for_each_line(text, [&](std::string_view line) {
    const Json json = Json::parse(line.begin(), line.end(), nullptr, false);
    if (!json.is_object() || !json.contains("writer") || !json["writer"].is_string() ||
        !json.contains("offset_ns") || !json["offset_ns"].is_number_integer()) {
      return;
    }
    const auto trip = json.find("round_trip_ns");
    const bool told = trip != json.end() && trip->is_number_integer();
    auto& last = measured[json["writer"].get<std::string>()];
    last.push_back({json["offset_ns"].get<std::int64_t>(), told ? trip->get<std::int64_t>() : 0});
    if (last.size() > kLastOnes) last.pop_front();
  });
  ClockOffsets offsets;
  for (const auto& [writer, last] : measured) {
    const auto best = std::min_element(last.begin(), last.end(), [](const auto& a, const auto& b) {
      return a.round_trip_ns < b.round_trip_ns;
    });
    offsets[writer] = std::chrono::nanoseconds(best->offset_ns);
  }
  return offsets;
}

ClockOffsets read_clock_offsets(const std::filesystem::path& file) {
  const auto text = read_regular_file(file, kLargestFile);
  return text ? clock_offsets_of(*text) : ClockOffsets();
}

}  // namespace muster::report
