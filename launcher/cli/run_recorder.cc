#include "launcher/cli/run_recorder.h"

#include <fcntl.h>

#include "base/files.h"
#include "base/text.h"
#include "collector/store/azureml_names.h"
#include "launcher/report/process_json.h"
#include "launcher/report/status_text.h"

namespace muster::cli {
namespace {

// The terminal is the shell's in a moment; one that blocks must not keep us from stopping.
constexpr auto kSuspendPatience = std::chrono::milliseconds(300);

std::string how_it_ended(const plan::RankOutcome& rank) {
  switch (rank.end) {
    case plan::RankEnd::kNotStarted: return "not started";
    case plan::RankEnd::kExecFailed: return rank.exec_failure;
    case plan::RankEnd::kAgentLost:
      return "lost: its agent ended" + (rank.detail.empty() ? "" : ", " + rank.detail);
    case plan::RankEnd::kExited:
    case plan::RankEnd::kStopped: return rank.status.describe();
  }
  return "";
}

}  // namespace

Result<RunRecorder> RunRecorder::open(const store::RunDirectory& run_directory,
                                      const std::string& hostname, report::RunRecord record,
                                      report::Console& console, bool terminal) {
  RunRecorder recorder(run_directory, std::move(record), console, terminal);
  const auto append_to = [](const std::filesystem::path& path) -> Result<Fd> {
    auto fd = open_file(path, O_WRONLY | O_CREAT | O_APPEND);
    if (!fd) fd.error().code = ErrorCode::kRunDirectory;
    return fd;
  };
  MUSTER_TRY_ASSIGN(recorder.events_, append_to(run_directory.events_jsonl()));
  MUSTER_TRY_ASSIGN(recorder.log_, append_to(run_directory.launcher_log(hostname)));
  return recorder;
}

Result<RunRecorder> RunRecorder::open_member(const store::RunDirectory& run_directory,
                                             const std::string& hostname, report::RunRecord record,
                                             report::Console& console) {
  RunRecorder recorder(run_directory, std::move(record), console, false);
  recorder.keeps_record_ = false;
  auto log = open_file(run_directory.launcher_log(hostname), O_WRONLY | O_CREAT | O_APPEND);
  if (!log) {
    log.error().code = ErrorCode::kRunDirectory;
    return Failure(std::move(log).error());
  }
  recorder.log_ = std::move(*log);
  return recorder;
}

RunRecorder::RunRecorder(store::RunDirectory run_directory, report::RunRecord record,
                         report::Console& console, bool terminal)
    : run_directory_(std::move(run_directory)),
      record_(std::move(record)),
      console_(&console),
      terminal_(terminal) {}

// Events and log are a convenience of the record: a full disk is noticed, and told, at the streams.
void RunRecorder::event(const std::string& name, const std::vector<report::EventField>& fields) {
  if (!keeps_record_) return;
  static_cast<void>(
      write_all(events_, report::event_line(std::chrono::system_clock::now(), name, fields)));
}

void RunRecorder::log(const std::string& text) {
  static_cast<void>(
      write_all(log_, format_utc(std::chrono::system_clock::now()) + " " + text + "\n"));
}

Result<> RunRecorder::write_run_json(bool durable) {
  if (!keeps_record_) return {};
  auto written = replace_file(run_directory_.run_json(), report::run_json(record_), durable);
  write_process_files();  // after it, because a full disk may have room for no more
  return written;
}

// For others' tools; Muster does not read them, so nothing fails for want of them.  Those that look
// while the run goes on belong to Azure ML's configs; to a short run of another one each replacing
// costs more than its ranks.
void RunRecorder::write_process_files() const {
  if (!keeps_record_) return;
  const auto& outcome = record_.attempts.back().outcome;
  if (!outcome && !process_files_live_) return;
  const auto& ranks = outcome ? outcome->ranks : known_ranks_;
  static_cast<void>(replace_file(store::process_info(run_directory_),
                                 report::process_info_json(record_.plan, ranks)));
  static_cast<void>(replace_file(
      store::process_status(run_directory_),
      report::process_status_json(record_.plan, ranks, outcome ? &*outcome : nullptr)));
}

void RunRecorder::happened(const cluster::PhaseEvent& what) {
  if (!phase_.take(what)) return;
  std::vector<report::EventField> fields = {{"phase", cluster::to_word(phase_.phase())}};
  if (!phase_.reason().empty()) fields.push_back({"why", phase_.reason()});
  event("phase", fields);
  if (phase_changed_) phase_changed_(phase_);
}

void RunRecorder::rank_started(const plan::RankOutcome& rank, int running, int world_size) {
  ++started_;
  running_ = running;
  known_ranks_.push_back(rank);
  if (control_ != nullptr) control_->rank_started(rank);
  event("rank_started",
        {{"rank", rank.rank}, {"pid", rank.training_pid}, {"cpuset", rank.cpuset.to_string()}});
  // A sandbox refuses all ranks alike: told once, and with the ranks' numbers in the report.
  if (!rank.binding_note.empty() && told_notes_.insert(rank.binding_note).second) {
    notice("rank " + std::to_string(rank.rank) + ": " + rank.binding_note);
  }
  if (started_ == world_size) {
    log(counted(world_size, "rank") + " running after " +
        format_duration(std::chrono::steady_clock::now() - began_));
    event("all_ranks_started");
    write_process_files();
    for (const auto& callback : all_started_) callback();
  }
  show_status();
}

void RunRecorder::rank_ended(const plan::RankOutcome& rank, int running) {
  running_ = running;
  const std::string how = how_it_ended(rank);
  if (control_ != nullptr) control_->rank_ended(rank, how);
  log("rank " + std::to_string(rank.rank) + " " + how);
  event("rank_ended", {{"rank", rank.rank}, {"how", how}, {"value", rank.status.value}});
  show_status();
}

void RunRecorder::placement_differs(int rank, const std::vector<std::string>& differences) {
  if (control_ != nullptr) control_->placement_differs(rank, differences);
  for (const std::string& difference : differences) {
    log("rank " + std::to_string(rank) + ": " + difference);
    event("placement_differs", {{"rank", rank}, {"difference", difference}});
  }
}

void RunRecorder::stopping(const std::string& why, std::chrono::milliseconds grace,
                           bool from_outside) {
  stopping_ = why;
  // On record before the grace begins: whoever ends us in it leaves more than "running".  Whoever
  // stops us from outside may take the machine away next, so then it is on the disk as well.
  record_.stopping = why;
  static_cast<void>(write_run_json(from_outside));
  if (control_ != nullptr) control_->stopping(why);
  log("stopping: " + why);
  happened({cluster::PhaseEvent::What::kStopBegins, why});
  event("stopping", {{"why", why}, {"grace_ms", static_cast<std::int64_t>(grace.count())}});
  if (running_ > 0) {
    console_->print(
        "muster: " + why + "; ending " + counted(running_, "rank") +
        (grace.count() > 0 ? " (SIGTERM, SIGKILL after " + format_duration(grace) + ")" : ""));
  }
  show_status();
}

void RunRecorder::disk_full(const std::string& stream, const std::string& why) {
  event("disk_full", {{"stream", stream}, {"why", why}});
  log("the disk is full: " + why);
  notice(why + "; the ranks go on, and what there is no room for will be missing");
}

void RunRecorder::disk_has_room() {
  event("disk_has_room");
  notice("the disk has room again: what the ranks write is stored");
}

void RunRecorder::stream_gap(const std::string& stream, const store::Gap& gap) {
  event("stream_gap", {{"stream", stream},
                       {"from", static_cast<std::int64_t>(gap.from)},
                       {"to", static_cast<std::int64_t>(gap.to.value_or(gap.from))},
                       {"reason", gap.reason}});
}

void RunRecorder::tell_of_node(const char* what, protocol::NodeStatus::State state, int node_rank,
                               const std::string& text) {
  if (control_ != nullptr) control_->node_state(node_rank, state, text);
  event(what, {{"node_rank", node_rank}, {"text", text}});
  log(text);
}

void RunRecorder::ranks_sampled(int node_rank, const protocol::RanksSampled& sampled) {
  if (control_ != nullptr) control_->node_sampled(node_rank, sampled);
}

void RunRecorder::node_suspect(int node_rank, const std::string& text) {
  tell_of_node("node_suspect", protocol::NodeStatus::SUSPECT, node_rank, text);
  console_->print("muster: " + text);
}

void RunRecorder::node_wakes(int node_rank, const std::string& text) {
  tell_of_node("node_awake", protocol::NodeStatus::HERE, node_rank, text);
  console_->print("muster: " + text);
}

// The end that follows from it is told with its reason: stopping().
void RunRecorder::node_lost(int node_rank, const std::string& text) {
  tell_of_node("node_lost", protocol::NodeStatus::LOST, node_rank, text);
}

void RunRecorder::suspending() {
  log("suspended by Ctrl-Z");
  event("suspended");
  if (!terminal_) return;
  console_->print("muster: " + counted(running_, "rank") + " stopped; `fg` or `bg` goes on");
  console_->suspend(kSuspendPatience);
}

void RunRecorder::resumed() {
  log("resumed");
  event("resumed");
  console_->resume();
  show_status();
}

void RunRecorder::killing(std::size_t rank_count) {
  const auto count = static_cast<std::int64_t>(rank_count);
  log("SIGKILL to " + counted(count, "rank"));
  event("killing", {{"ranks", count}});
}

void RunRecorder::draining() {
  happened({cluster::PhaseEvent::What::kRanksGone});
  if (control_ != nullptr) control_->phase(protocol::RunState::DRAINING);
}

void RunRecorder::notice(const std::string& text) {
  log(text);
  event("notice", {{"text", text}});
}

void RunRecorder::show_status() {
  if (!terminal_) return;
  protocol::RunState state;
  state.set_world_size(record_.plan.world_size);
  state.set_started(started_);
  state.set_running(running_);
  state.set_stopping(stopping_);
  if (control_ != nullptr) control_->add_collector(state);
  console_->set_status(report::status_line_text(state, std::chrono::steady_clock::now() - began_));
}

}  // namespace muster::cli
