#include "launcher/report/event_json.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace muster::report {

std::string event_line(plan::WallTime time, std::string_view event,
                       const std::vector<EventField>& fields) {
  nlohmann::ordered_json line;
  line["time"] = format_utc(time);
  line["event"] = std::string(event);
  for (const EventField& field : fields) {
    std::visit([&](const auto& value) { line[field.name] = value; }, field.value);
  }
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace muster::report
