#include "launcher/exec/node_sample.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace muster::exec {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kRepeatLasting = 20;  // looks
constexpr std::size_t kBytesOfALook = 2300;

// No more digits than the value is worth: "12.35", 17179869184.
Json number(double value) {
  if (std::abs(value) < 1000) return std::round(value * 100) / 100;
  return static_cast<std::int64_t>(std::llround(std::clamp(value, -9e18, 9e18)));
}

}  // namespace

std::string NodeSampleWriter::lines(const NodeSample& sample) {
  const double time = std::chrono::duration<double>(sample.time.time_since_epoch()).count();
  std::string text;
  for (const NodeGroup& group : sample.groups) {
    Json values = Json::object();
    for (const NodeValue& value : group.values) {
      if (!std::isfinite(value.value)) continue;
      if (value.lasting) {
        const auto [at, is_new] =
            lasting_.try_emplace(group.label + "/" + group.of + "/" + value.name, value.value, 0);
        auto& [before, looks] = at->second;
        if (!is_new && before == value.value && ++looks < kRepeatLasting) continue;
        at->second = {value.value, 0};
      }
      values[value.name] = number(value.value);
    }
    if (values.empty()) continue;
    Json line;
    line["time"] = std::round(time * 1000) / 1000;
    line["node"] = node_;
    if (!group.label.empty()) {
      const auto index = group.number ? parse_integer(group.of) : std::nullopt;
      line[group.label] = index ? Json(*index) : Json(group.of);
    }
    line["values"] = std::move(values);
    text += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  return text;
}

std::chrono::milliseconds pause_after(std::size_t bytes, std::chrono::milliseconds interval) {
  if (bytes <= kBytesOfALook) return interval;
  return interval * static_cast<std::int64_t>(bytes) / static_cast<std::int64_t>(kBytesOfALook);
}

}  // namespace muster::exec
