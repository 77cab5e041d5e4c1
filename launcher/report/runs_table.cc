#include "launcher/report/runs_table.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "base/text_table.h"
#include "launcher/report/console_text.h"
#include "launcher/report/status_line.h"

namespace muster::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFailureColumns = 44;
constexpr int kLeastCommandColumns = 20;

// On one line, and safe to print.
std::string shown(const std::string& text) {
  std::string lines;
  ConsoleLines console({false, ""});
  console.add(text, lines);
  console.flush(lines);
  if (!lines.empty()) lines.pop_back();
  std::replace(lines.begin(), lines.end(), '\n', ' ');
  return lines;
}

// "2026-11-23 06:15:00Z"
std::string second_of(const std::optional<plan::WallTime>& time) {
  if (!time) return "";
  std::string text = format_utc(*time).substr(0, 19) + "Z";
  text[10] = ' ';
  return text;
}

// While it runs, until now; of a lost run nobody knows.
std::optional<std::chrono::nanoseconds> duration_of(const RunState& state, plan::WallTime now) {
  const RunView& view = state.view;
  const auto start = view.started_at ? view.started_at : view.created_at;
  if (!start || state.phase == RunPhase::kLost) return std::nullopt;
  const auto end = view.ended_at.value_or(now);
  return std::max<std::chrono::nanoseconds>(end - *start, std::chrono::nanoseconds(0));
}

std::string exit_text(const RunView& view) {
  if (!view.exit_code) return "";
  const std::string code = std::to_string(*view.exit_code);
  return *view.exit_code == 0 || view.origin.empty() ? code : code + " " + view.origin;
}

std::string failure_text(const RunRow& row) {
  if (!row.state) return row.problem;
  const auto& failure = row.state->view.first_failure;
  if (!failure) return "";
  return (failure->rank ? "rank " + std::to_string(*failure->rank) + " " : "") +
         failure->description;
}

std::string missing_cell(const RunRow& row) {
  return row.state ? missing_text(row.state->view.missing) : "";
}

std::vector<std::string> cells_of(const RunRow& row, plan::WallTime now) {
  const std::string failure = elided(shown(failure_text(row)), kFailureColumns);
  if (!row.state) return {row.run_id, status_of(row), "", "", "", "", "", failure};
  const RunView& view = row.state->view;
  const auto duration = duration_of(*row.state, now);
  std::string status = status_of(row);
  if (row.state->phase == RunPhase::kLost) status += " (launcher gone)";
  if (row.state->phase == RunPhase::kUnknown) status += " (on " + view.launcher.hostname + ")";
  return {shown(row.run_id),
          shown(status),
          std::to_string(view.world_size),
          second_of(view.started_at ? view.started_at : view.created_at),
          duration ? format_duration(*duration) : "",
          exit_text(view),
          missing_cell(row),
          failure};
}

Json time_or_null(const std::optional<plan::WallTime>& time) {
  return time ? Json(format_utc(*time)) : Json(nullptr);
}

template <typename T>
Json value_or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json failure_json(const std::optional<FailureView>& failure) {
  if (!failure) return nullptr;
  return {{"rank", value_or_null(failure->rank)},
          {"how", failure->how},
          {"value", failure->value},
          {"origin", failure->origin},
          {"description", failure->description}};
}

Json row_json(const RunRow& row, plan::WallTime now) {
  Json json;
  json["run_id"] = row.run_id;
  json["status"] = status_of(row);
  json["run_directory"] = row.run_directory;
  if (!row.state) {
    json["problem"] = row.problem;
    return json;
  }
  const RunView& view = row.state->view;
  const auto duration = duration_of(*row.state, now);
  json["world_size"] = view.world_size;
  json["hostname"] = view.launcher.hostname;
  json["created_at"] = time_or_null(view.created_at);
  json["started_at"] = time_or_null(view.started_at);
  json["ended_at"] = time_or_null(view.ended_at);
  json["duration_seconds"] =
      duration ? Json(std::chrono::duration<double>(*duration).count()) : Json(nullptr);
  json["exit_code"] = value_or_null(view.exit_code);
  json["origin"] = view.origin.empty() ? Json(nullptr) : Json(view.origin);
  json["first_failure"] = failure_json(view.first_failure);
  const MissingView& missing = view.missing;
  json["missing"] = {{"bytes", missing.bytes},
                     {"more_bytes", missing.more_bytes},
                     {"undelivered", missing.undelivered},
                     {"undelivered_bytes", missing.undelivered_bytes},
                     {"files_not_stored", missing.files_not_stored}};
  json["command_line"] = view.command_line;
  json["argv"] = view.argv;
  return json;
}

}  // namespace

std::string status_of(const RunRow& row) {
  return row.state ? row.state->word() : "unreadable";
}

std::string missing_text(const MissingView& missing) {
  std::vector<std::string> parts;
  if (missing.bytes > 0) {
    parts.push_back(format_bytes(missing.bytes) + (missing.more_bytes ? " and more" : "") +
                    " lost");
  } else if (missing.more_bytes) {
    parts.push_back("some bytes lost");
  }
  if (missing.undelivered) {
    const std::uint64_t bytes = missing.undelivered_bytes;
    parts.push_back((bytes > 0 ? format_bytes(bytes) + " " : std::string()) + "undelivered");
  }
  if (missing.files_not_stored > 0) {
    parts.push_back(counted(static_cast<std::int64_t>(missing.files_not_stored), "file") +
                    " not stored");
  }
  return join(parts, ", ");
}

std::string runs_table(const std::vector<RunRow>& rows, plan::WallTime now, int columns) {
  using Align = TextTable::Align;
  const bool any_missing = std::any_of(
      rows.begin(), rows.end(), [](const RunRow& row) { return !missing_cell(row).empty(); });
  std::vector<TextTable::Column> titles = {
      {"run"},  {"status"},  {"ranks", Align::kRight}, {"started"}, {"duration", Align::kRight},
      {"exit"}, {"missing"}, {"first failure"}};
  constexpr std::ptrdiff_t kMissing = 6;
  if (!any_missing) titles.erase(titles.begin() + kMissing);
  // The command takes what the others leave.
  std::size_t width = 0;
  std::vector<std::size_t> widths(titles.size());
  std::vector<std::vector<std::string>> all;
  for (const RunRow& row : rows) {
    all.push_back(cells_of(row, now));
    if (!any_missing) all.back().erase(all.back().begin() + kMissing);
    for (std::size_t at = 0; at < widths.size(); ++at) {
      widths[at] = std::max(widths[at], all.back()[at].size());
    }
  }
  for (std::size_t at = 0; at < widths.size(); ++at) {
    width += std::max(widths[at], titles[at].title.size()) + 2;
  }
  titles.push_back({"command"});
  TextTable table(std::move(titles));
  const int left = std::max(columns - static_cast<int>(width), kLeastCommandColumns);
  for (std::size_t at = 0; at < rows.size(); ++at) {
    const std::string command =
        rows[at].state ? shown(shell_quoted(rows[at].state->view.argv)) : std::string();
    all[at].push_back(columns == 0 ? command : elided(command, left));
    table.add_row(std::move(all[at]));
  }
  return table.to_string();
}

std::string runs_json(const std::vector<RunRow>& rows, plan::WallTime now) {
  Json json = Json::array();
  for (const RunRow& row : rows) json.push_back(row_json(row, now));
  return without_raw_controls(json.dump(2, ' ', false, Json::error_handler_t::replace)) + "\n";
}

}  // namespace muster::report
