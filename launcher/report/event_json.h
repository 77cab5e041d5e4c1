// One line of events.jsonl.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "launcher/plan/run_outcome.h"

namespace muster::report {

struct EventField {
  using Value = std::variant<std::string, std::int64_t, double, bool>;

  template <std::integral T>
  requires(!std::same_as<T, bool>) EventField(std::string field_name, T number)
      : name(std::move(field_name)), value(static_cast<std::int64_t>(number)) {}
  EventField(std::string field_name, bool truth) : name(std::move(field_name)), value(truth) {}
  EventField(std::string field_name, double number) : name(std::move(field_name)), value(number) {}
  EventField(std::string field_name, std::string text)
      : name(std::move(field_name)), value(std::move(text)) {}
  EventField(std::string field_name, const char* text)
      : name(std::move(field_name)), value(std::string(text)) {}

  std::string name;
  Value value;
};

// {"time":"2026-11-23T06:15:00.123456Z","event":"rank_ended","rank":3} and a newline.  Bytes that
// are not UTF-8 become U+FFFD.
std::string event_line(plan::WallTime time, std::string_view event,
                       const std::vector<EventField>& fields = {});

}  // namespace muster::report
