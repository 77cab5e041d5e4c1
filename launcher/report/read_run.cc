#include "launcher/report/read_run.h"

#include <cerrno>
#include <climits>
#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/time_text.h"

namespace muster::report {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLargestRunJson = 64U << 20;  // some 700 bytes for each rank of each attempt

// null for what is missing, so that a chain of them needs no checks.
const Json& member(const Json& object, const char* name) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::optional<int> integer_of(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT_MAX) return std::nullopt;
  const auto number = value.get<std::int64_t>();
  if (number < INT_MIN || number > INT_MAX) return std::nullopt;
  return static_cast<int>(number);
}

std::optional<plan::WallTime> time_of(const Json& value) {
  return parse_time(text_of(value));
}

std::vector<std::string> texts_of(const Json& value) {
  std::vector<std::string> texts;
  if (!value.is_array()) return texts;
  for (const Json& each : value) texts.push_back(text_of(each));
  return texts;
}

// Runs of versions without "launcher" have two of its facts at the top.
LauncherMark launcher_of(const Json& run) {
  const Json& json = member(run, "launcher");
  LauncherMark mark;
  mark.hostname = text_of(member(run, "hostname"));
  mark.pid = integer_of(member(run, "launcher_pid")).value_or(0);
  const Json& start_time = member(json, "start_time");
  if (start_time.is_number_unsigned()) mark.start_time = start_time.get<std::uint64_t>();
  mark.boot_id = text_of(member(json, "boot_id"));
  mark.pid_namespace = text_of(member(json, "pid_namespace"));
  const Json& holds_lock = member(json, "holds_lock");
  mark.holds_lock = holds_lock.is_boolean() && holds_lock.get<bool>();
  return mark;
}

std::optional<FailureView> failure_of(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  FailureView view;
  view.rank = integer_of(member(json, "rank"));
  view.how = text_of(member(json, "how"));
  view.value = integer_of(member(json, "value")).value_or(0);
  view.origin = text_of(member(json, "origin"));
  view.description = text_of(member(json, "description"));
  return view;
}

std::uint64_t count_of(const Json& value) {
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

MissingView missing_of(const Json& run) {
  MissingView missing;
  const Json& gaps = member(run, "gaps");
  if (gaps.is_array()) {
    for (const Json& gap : gaps) {
      const Json& length = member(gap, "length");
      missing.bytes += count_of(length);
      missing.more_bytes = missing.more_bytes || length.is_null();
    }
  }
  const Json& incomplete = member(run, "incomplete");
  missing.bytes += count_of(member(incomplete, "dropped_bytes"));
  missing.undelivered = member(incomplete, "undelivered") == Json(true);
  missing.undelivered_bytes = count_of(member(incomplete, "undelivered_bytes"));
  missing.files_not_stored = count_of(member(incomplete, "files_not_stored"));
  return missing;
}

RankView rank_of(const Json& json) {
  RankView view;
  view.rank = integer_of(member(json, "rank")).value_or(0);
  view.node_rank = integer_of(member(json, "node_rank")).value_or(0);
  view.how = text_of(member(json, "how"));
  view.exit_code = integer_of(member(json, "exit_code"));
  view.signal = text_of(member(json, "signal"));
  view.detail = text_of(member(json, "detail"));
  view.pid = integer_of(member(json, "pid")).value_or(0);
  view.cpuset = text_of(member(json, "cpuset"));
  view.started_at = time_of(member(json, "started_at"));
  view.ended_at = time_of(member(json, "ended_at"));
  return view;
}

AttemptView attempt_of(const Json& json) {
  AttemptView view;
  view.attempt = integer_of(member(json, "attempt")).value_or(0);
  view.status = text_of(member(json, "status"));
  view.started_at = time_of(member(json, "started_at"));
  view.ended_at = time_of(member(json, "ended_at"));
  const Json& ranks = member(json, "ranks");
  if (!ranks.is_array()) return view;
  for (const Json& rank : ranks) view.ranks.push_back(rank_of(rank));
  return view;
}

RunView run_of(const Json& json) {
  RunView view;
  view.run_id = text_of(member(json, "run_id"));
  view.status = text_of(member(json, "status"));
  view.stopping = text_of(member(json, "stopping"));
  view.exit_code = integer_of(member(json, "exit_code"));
  view.origin = text_of(member(json, "origin"));
  view.first_failure = failure_of(member(json, "first_failure"));
  view.missing = missing_of(json);
  view.created_at = time_of(member(json, "created_at"));
  view.started_at = time_of(member(json, "started_at"));
  view.ended_at = time_of(member(json, "ended_at"));
  view.launcher = launcher_of(json);
  view.control_socket = text_of(member(json, "control_socket"));
  view.muster_version = text_of(member(json, "muster_version"));
  view.command_line = texts_of(member(json, "command_line"));
  const Json& plan = member(json, "plan");
  view.distributed_backend = text_of(member(plan, "distributed_backend"));
  view.world_size = integer_of(member(plan, "world_size")).value_or(0);
  view.argv = texts_of(member(plan, "argv"));
  const Json& nodes = member(plan, "nodes");
  if (nodes.is_array()) {
    for (const Json& node : nodes) view.hostnames.push_back(text_of(member(node, "hostname")));
  }
  const Json& attempts = member(json, "attempts");
  if (attempts.is_array()) {
    for (const Json& attempt : attempts) view.attempts.push_back(attempt_of(attempt));
  }
  return view;
}

}  // namespace

Result<RunView> parse_run(std::string_view run_json) {
  const Json json = Json::parse(run_json.begin(), run_json.end(), nullptr, false);
  if (json.is_object()) return run_of(json);
  return fail(ErrorCode::kInternal, json.is_discarded() ? "it is not JSON" : "it is not an object");
}

Result<RunView> read_run(const store::RunDirectory& run) {
  const auto file = open_file(run.run_json(), O_RDONLY);
  if (!file && (errno == EACCES || errno == EPERM)) {
    return fail(ErrorCode::kPermission, file.error().message,
                "read it as the owner of the run, or as root");
  }
  MUSTER_TRY_ASSIGN(const std::string text, read_file(run.run_json(), kLargestRunJson));
  auto view = parse_run(text);
  if (!view) {
    return Failure(std::move(view).error().with_context("reading " + run.run_json().string()));
  }
  return view;
}

}  // namespace muster::report
