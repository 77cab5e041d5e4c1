#include "launcher/report/run_json.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "collector/store/run_directory.h"
#include "muster/version.h"

// Fields are added, never renamed: others read this file.  A fact that is not known (yet) is null,
// so that every field is always there.  Paths are relative to the run directory, which may be
// moved.
namespace muster::report {
namespace {

using Json = nlohmann::ordered_json;
using plan::RankEnd;

Json time_or_null(const std::optional<plan::WallTime>& time) {
  return time ? Json(format_utc(*time)) : Json(nullptr);
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

const char* to_word(plan::RunStatus status) {
  switch (status) {
    case plan::RunStatus::kSucceeded: return "succeeded";
    case plan::RunStatus::kFailed: return "failed";
    case plan::RunStatus::kCancelled: return "cancelled";
  }
  return "failed";
}

const char* to_word(plan::FailureOrigin origin) {
  return origin == plan::FailureOrigin::kTraining ? "training" : "muster";
}

const char* how_word(const plan::RankOutcome& rank) {
  switch (rank.end) {
    case RankEnd::kNotStarted: return "not_started";
    case RankEnd::kExecFailed: return "exec_failed";
    case RankEnd::kExited:
      return rank.status.how == ExitStatus::How::kExited ? "exited" : "signaled";
    case RankEnd::kStopped: return "stopped";
    case RankEnd::kAgentLost: return "agent_lost";
  }
  return "agent_lost";
}

bool has_status(const plan::RankOutcome& rank) {
  return rank.end != RankEnd::kNotStarted && rank.end != RankEnd::kAgentLost;
}

Json error_json(const std::optional<plan::TrainingError>& error) {
  if (!error) return nullptr;
  return {{"message", error->message},
          {"timestamp", time_or_null(error->at)},
          {"source", error->source}};
}

Json evidence_json(const std::vector<plan::Evidence>& evidence) {
  Json all = Json::array();
  for (const plan::Evidence& each : evidence) {
    all.push_back({{"kind", each.kind}, {"text", each.text}, {"hint", text_or_null(each.hint)}});
  }
  return all;
}

Json placement_json(const std::vector<plan::PlacementSeen>& looks) {
  Json all = Json::array();
  for (const plan::PlacementSeen& seen : looks) {
    all.push_back({{"at", format_utc(seen.at)},
                   {"cpus", text_or_null(seen.cpus)},
                   {"memory_nodes", text_or_null(seen.memory_nodes)},
                   {"memory_policy", text_or_null(seen.memory_policy)},
                   {"gpus", seen.gpus}});
  }
  return all;
}

Json rank_json(const plan::RankOutcome& rank, const PlanSummary& plan, int attempt) {
  const bool known = has_status(rank);
  const bool signaled = known && rank.status.how == ExitStatus::How::kSignaled;
  const auto at = static_cast<std::size_t>(rank.rank);
  const std::string directory = store::RunDirectory::attempt_directory(rank.rank, attempt);

  Json json;
  json["rank"] = rank.rank;
  json["node_rank"] =
      at < plan.node_rank_of_rank.size() ? Json(plan.node_rank_of_rank[at]) : Json(nullptr);
  json["how"] = how_word(rank);
  json["value"] = known ? Json(rank.status.value) : Json(nullptr);
  json["exit_code"] = known && !signaled ? Json(rank.status.value) : Json(nullptr);
  json["signal"] = signaled ? Json(signal_name(rank.status.value)) : Json(nullptr);
  json["core_dumped"] = rank.status.core_dumped;
  json["exec_failure"] = text_or_null(rank.exec_failure);
  json["detail"] = text_or_null(rank.detail);
  json["error"] = error_json(rank.error);
  json["cause"] = text_or_null(rank.cause);
  json["evidence"] = evidence_json(rank.evidence);
  json["started_at"] = time_or_null(rank.started_at);
  json["ended_at"] = time_or_null(rank.ended_at);
  json["pid"] = rank.training_pid > 0 ? Json(rank.training_pid) : Json(nullptr);
  json["cpuset"] = text_or_null(rank.cpuset.to_string());
  json["binding_note"] = text_or_null(rank.binding_note);
  json["placement_seen"] = placement_json(rank.placement_seen);
  json["placement_differences"] = rank.placement_differences;
  json["mpi_library"] = text_or_null(rank.mpi_library);
  json["usage"] = {{"user_seconds", rank.usage.user_seconds},
                   {"system_seconds", rank.usage.system_seconds},
                   {"max_rss_bytes", rank.usage.max_rss_bytes}};
  json["stdout"] = directory + "/stdout.log";
  json["stderr"] = directory + "/stderr.log";
  return json;
}

Json first_failure_json(const std::optional<plan::FirstFailure>& first) {
  if (!first) return nullptr;
  Json json = {{"rank", first->rank ? Json(*first->rank) : Json(nullptr)},
               {"how", first->how},
               {"value", first->value},
               {"origin", to_word(first->origin)},
               {"description", first->description},
               {"cause", text_or_null(first->cause)}};
  if (!first->candidates.empty()) json["candidates"] = first->candidates;
  return json;
}

Json gaps_json(const std::vector<plan::StreamGap>& gaps) {
  Json all = Json::array();
  for (const plan::StreamGap& gap : gaps) {
    all.push_back({{"stream", gap.stream},
                   {"offset", gap.offset},
                   {"length", gap.length ? Json(*gap.length) : Json(nullptr)},
                   {"reason", gap.reason}});
  }
  return all;
}

// Null while it runs.
Json incomplete_json(const plan::RunOutcome* outcome) {
  if (outcome == nullptr) return nullptr;
  return {{"dropped_bytes", outcome->incomplete.dropped_bytes},
          {"dropped_ranges", outcome->incomplete.dropped_ranges},
          {"undelivered", outcome->incomplete.undelivered},
          {"undelivered_bytes", outcome->incomplete.undelivered_bytes},
          {"files_not_stored", outcome->incomplete.files_not_stored}};
}

// Null while it runs.  A success's code is the training program's own 0.
Json origin_json(const plan::RunOutcome* outcome) {
  if (outcome == nullptr) return nullptr;
  if (outcome->first_failure) return to_word(outcome->first_failure->origin);
  return outcome->status == plan::RunStatus::kSucceeded ? "training" : "muster";
}

// What a run and an attempt both have.
void add_outcome(const plan::RunOutcome* outcome, Json& json) {
  json["status"] = outcome == nullptr ? "running" : to_word(outcome->status);
  json["exit_code"] = outcome == nullptr ? Json(nullptr) : Json(outcome->exit_code);
  json["origin"] = origin_json(outcome);
  json["first_failure"] =
      outcome == nullptr ? Json(nullptr) : first_failure_json(outcome->first_failure);
}

Json attempt_json(const AttemptRecord& attempt, const PlanSummary& plan) {
  const plan::RunOutcome* outcome = attempt.outcome ? &*attempt.outcome : nullptr;
  Json json;
  json["attempt"] = attempt.attempt;
  add_outcome(outcome, json);
  json["started_at"] = format_utc(attempt.started_at);
  json["ended_at"] = outcome == nullptr ? Json(nullptr) : Json(format_utc(outcome->ended_at));
  json["ranks"] = Json::array();
  if (outcome == nullptr) return json;
  for (const plan::RankOutcome& rank : outcome->ranks) {
    json["ranks"].push_back(rank_json(rank, plan, attempt.attempt));
  }
  return json;
}

Json plan_json(const PlanSummary& plan) {
  Json json;
  json["distributed_backend"] = config::to_string(plan.backend);
  json["world_size"] = plan.world_size;
  json["node_count"] = plan.nodes.size();
  json["process_count_per_node"] = plan.process_count_per_node;
  json["oversubscribed"] = plan.oversubscribed;
  json["argv"] = plan.argv;
  json["working_directory"] = plan.working_directory;
  json["mpirun"] = nullptr;
  if (!plan.mpirun_argv.empty()) {
    json["mpirun"] = {{"executable", plan.mpirun_executable},
                      {"version", plan.mpirun_version},
                      {"argv", plan.mpirun_argv}};
  }
  json["python_environment"] = text_or_null(plan.python_environment);
  json["image"] = text_or_null(plan.image);
  json["container_image"] = text_or_null(plan.container_image);
  json["nodes"] = Json::array();
  for (const plan::NodePlan& node : plan.nodes) {
    json["nodes"].push_back({{"node_rank", node.node_rank}, {"hostname", node.hostname}});
  }
  return json;
}

Json git_json(const std::optional<plan::GitState>& git) {
  if (!git) return nullptr;
  return {{"commit", text_or_null(git->commit)},
          {"branch", text_or_null(git->branch)},
          {"remote", text_or_null(git->remote)},
          {"dirty", git->dirty ? Json(*git->dirty) : Json(nullptr)},
          {"problem", text_or_null(git->problem)}};
}

Json source_json(const std::optional<plan::SourceRecord>& source) {
  if (!source) return nullptr;
  const bool copied = !source->in_place;
  return {{"directory", source->directory},
          {"in_place", source->in_place},
          {"ignore_file", text_or_null(source->ignore_file)},
          {"files", copied ? Json(source->files) : Json(nullptr)},
          {"bytes", copied ? Json(source->bytes) : Json(nullptr)},
          {"hash", text_or_null(source->hash)},
          {"git", git_json(source->git)}};
}

// What tells this launcher from any other process; host and pid stand beside it.
Json launcher_json(const LauncherMark& launcher) {
  return {{"start_time", launcher.start_time},
          {"boot_id", text_or_null(launcher.boot_id)},
          {"pid_namespace", text_or_null(launcher.pid_namespace)},
          {"holds_lock", launcher.holds_lock}};
}

// Relative to the run directory; taken from the one place that knows the names.
Json files_json() {
  const store::RunDirectory here{std::filesystem::path()};
  return {{"plan", here.plan_json().string()},      {"config", here.config_yaml().string()},
          {"events", here.events_jsonl().string()}, {"mpirun_log", here.mpirun_log().string()},
          {"report", here.report_txt().string()},   {"ranks", "ranks"},
          {"outputs", here.outputs().string()},     {"logs", here.logs().string()}};
}

}  // namespace

PlanSummary summarize(const plan::LaunchPlan& plan) {
  PlanSummary summary;
  summary.backend = plan.backend;
  summary.world_size = plan.world_size;
  summary.process_count_per_node = plan.process_count_per_node;
  summary.oversubscribed = plan.oversubscribed;
  summary.nodes = plan.nodes;
  for (const plan::RankPlacement& rank : plan.ranks) {
    summary.node_rank_of_rank.push_back(rank.node_rank);
  }
  summary.argv = plan.argv;
  summary.working_directory = plan.working_directory;
  if (plan.mpirun) {
    summary.mpirun_argv = plan.mpirun->argv();
    summary.mpirun_executable = plan.mpirun->executable;
    summary.mpirun_version = plan.mpirun->version;
  }
  if (plan.python.needed()) summary.python_environment = plan.python.prefix();
  summary.image = plan.image;
  summary.container_image = plan.container_image;
  summary.warnings = plan.warnings;
  return summary;
}

std::string run_json(const RunRecord& record) {
  const AttemptRecord* last = record.attempts.empty() ? nullptr : &record.attempts.back();
  const plan::RunOutcome* outcome = last != nullptr && last->outcome ? &*last->outcome : nullptr;

  Json json;
  json["run_id"] = record.run_id;
  add_outcome(outcome, json);
  if (outcome == nullptr && !record.stopping.empty()) json["status"] = "stopping";
  json["stopping"] = text_or_null(record.stopping);
  json["created_at"] = format_utc(record.created_at);
  json["started_at"] =
      last == nullptr ? Json(nullptr) : Json(format_utc(record.attempts.front().started_at));
  json["ended_at"] = outcome == nullptr ? Json(nullptr) : Json(format_utc(outcome->ended_at));
  json["muster_version"] = kVersion;
  json["hostname"] = record.launcher.hostname;
  json["launcher_pid"] = record.launcher.pid;
  json["launcher"] = launcher_json(record.launcher);
  json["control_socket"] = text_or_null(record.control_socket);
  json["command_line"] = record.command_line;
  json["run_directory"] = record.run_directory;
  json["plan"] = plan_json(record.plan);
  json["source"] = source_json(record.source);
  json["attempts"] = Json::array();
  json["gaps"] = Json::array();
  json["incomplete"] = incomplete_json(outcome);
  json["warnings"] = record.plan.warnings;
  for (const AttemptRecord& attempt : record.attempts) {
    json["attempts"].push_back(attempt_json(attempt, record.plan));
    if (!attempt.outcome) continue;
    for (Json& gap : gaps_json(attempt.outcome->gaps)) json["gaps"].push_back(std::move(gap));
    for (const std::string& warning : attempt.outcome->warnings)
      json["warnings"].push_back(warning);
  }
  json["files"] = files_json();
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace muster::report
