#include "collector/metrics/run_patterns.h"

#include <nlohmann/json.hpp>

#include "base/files.h"

namespace muster::metrics {
namespace {

using Json = nlohmann::json;

std::string text_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

Patterns patterns_of_run(const store::RunDirectory& run) {
  constexpr std::size_t kLargestPlan = std::size_t{1} << 28;
  const auto text = read_regular_file(run.plan_json(), kLargestPlan);
  if (!text || text->find("\"metric_patterns\"") == std::string::npos) return {};
  const Json plan = Json::parse(*text, nullptr, false);
  if (!plan.is_object()) return {};
  const auto list = plan.find("metric_patterns");
  if (list == plan.end() || !list->is_array()) return {};
  std::vector<PatternSpec> specs;
  for (const Json& each : *list) {
    if (!each.is_object()) continue;
    if (const Preset* preset = find_preset(text_at(each, "preset"))) {
      specs.push_back(preset->spec);
    } else if (!text_at(each, "name").empty()) {
      specs.push_back({text_at(each, "name"), text_at(each, "regex")});
    }
  }
  auto patterns = Patterns::compile(specs);
  return patterns ? std::move(*patterns) : Patterns();
}

}  // namespace muster::metrics
