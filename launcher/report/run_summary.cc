#include "launcher/report/run_summary.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace muster::report {
namespace {

using Json = nlohmann::ordered_json;

void put_time(Json& json, const char* name, const std::optional<plan::WallTime>& time) {
  if (time) json[name] = format_utc(*time);
}

}  // namespace

// In run.json's own words, so that parse_run() reads it.
std::string run_summary(const RunView& view) {
  Json json;
  json["run_id"] = view.run_id;
  json["status"] = view.status;
  if (view.exit_code) json["exit_code"] = *view.exit_code;
  json["origin"] = view.origin;
  if (view.first_failure) {
    const FailureView& first = *view.first_failure;
    Json& failure = json["first_failure"];
    failure = {{"how", first.how},
               {"value", first.value},
               {"origin", first.origin},
               {"description", first.description}};
    if (first.rank) failure["rank"] = *first.rank;
  }
  if (view.missing.any()) {
    json["gaps"] = Json::array();
    if (view.missing.more_bytes) json["gaps"].push_back({{"length", nullptr}});
    json["incomplete"] = {{"dropped_bytes", view.missing.bytes},
                          {"undelivered", view.missing.undelivered},
                          {"undelivered_bytes", view.missing.undelivered_bytes},
                          {"files_not_stored", view.missing.files_not_stored}};
  }
  put_time(json, "created_at", view.created_at);
  put_time(json, "started_at", view.started_at);
  put_time(json, "ended_at", view.ended_at);
  json["hostname"] = view.launcher.hostname;
  json["command_line"] = view.command_line;
  json["plan"] = {{"world_size", view.world_size},
                  {"argv", view.argv},
                  {"distributed_backend", view.distributed_backend}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<RunView> run_of_summary(std::string_view summary) {
  if (summary.empty()) return std::nullopt;
  auto view = parse_run(summary);
  if (!view || view->is_unfinished()) return std::nullopt;
  return std::move(*view);
}

}  // namespace muster::report
