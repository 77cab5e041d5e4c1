// The phases of a run in order.  Before something of the run is started a failure leaves nothing
// behind; from then on everything is recorded, whatever happens.

#include "launcher/cli/run_session.h"

#include <climits>
#include <ctime>
#include <cstdio>
#include <filesystem>
#include <poll.h>
#include <random>
#include <unistd.h>

#include "base/credentials.h"
#include "base/error_text.h"
#include "base/exit_code.h"
#include "base/files.h"
#include "base/signals.h"
#include "base/text.h"
#include "base/time_text.h"
#include "collector/store/azureml_names.h"
#include "collector/store/durable_state.h"
#include "collector/store/stream_ends.h"
#include "collector/store/writer.h"
#include "launcher/cli/console_setup.h"
#include "launcher/cli/muster_failure.h"
#include "launcher/cli/python_facts.h"
#include "launcher/cli/run_data.h"
#include "launcher/cli/run_lease.h"
#include "launcher/cli/run_preparation.h"
#include "launcher/cli/run_transfers.h"
#include "launcher/config/hide_secrets.h"
#include "launcher/exec/limits.h"
#include "launcher/exec/node_files.h"
#include "launcher/exec/terminal_input.h"
#include "launcher/plan/plan_json.h"
#include "launcher/plan/rank_environment.h"
#include "launcher/report/last_lines.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;

constexpr auto kConsolePatience = 5s;  // a terminal that blocks must not keep a finished run
constexpr auto kDetachPatience = 1s;   // ranks run already, and their launcher waits
constexpr auto kShortestPatience = 100ms;
constexpr std::chrono::milliseconds kCheckPlacementAfter = 5s;
constexpr std::size_t kMpirunTailLines = 10;
constexpr std::size_t kMpirunTailBytes = 8192;

// "20261123-061500-3fa2": sorts by time, and two runs of one second differ.
std::string new_run_id() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char date[32];
  std::strftime(date, sizeof date, "%Y%m%d-%H%M%S", &utc);
  char text[48];
  std::snprintf(text, sizeof text, "%s-%04x", date, std::random_device()() & 0xFFFFU);
  return text;
}

// "node-a", "3 nodes (node-a, node-b, node-c)": a few by name.
std::string nodes_text(const plan::LaunchPlan& plan) {
  constexpr std::size_t kMostNamed = 8;
  if (plan.nodes.size() == 1) return plan.nodes.front().hostname;
  std::vector<std::string> names;
  for (const plan::NodePlan& node : plan.nodes) {
    if (names.size() < kMostNamed) names.push_back(node.hostname);
  }
  std::string text =
      counted(static_cast<std::int64_t>(plan.nodes.size()), "node") + " (" + join(names, ", ");
  if (plan.nodes.size() > names.size()) text += ", …";
  return text + ")";
}

std::string summary_line(const LoadedRun& run, const plan::LaunchPlan& plan,
                         const std::string& run_directory) {
  std::string starter = "started directly";
  if (plan.mpirun) starter = "Open MPI " + plan.mpirun->version;
  std::string text = "muster: " + counted(plan.world_size, "rank") + " on " + nodes_text(plan) +
                     ", " + starter + ", run directory " + run_directory;
  std::vector<std::string> notes;
  if (plan.asked_node_count > 1) {
    notes.push_back("--one-node: all ranks of " + counted(plan.asked_node_count, "node") +
                    " are on this one");
  }
  if (!run.backend_note.empty()) notes.push_back("backend " + run.backend_note);
  for (const plan::Reason& each : run.inputs.command_line) {
    notes.push_back(each.subject + " is " + each.value);
  }
  return notes.empty() ? text : text + " (" + join(notes, "; ") + ")";
}

// What every failure of the run directory before the start has in common.
Error with_place_hint(Error error) {
  if (error.code == ErrorCode::kRunDirectory && error.hint.empty()) {
    error.hint = "choose a place that is writable and has room, with --runs-dir or MUSTER_RUNS_DIR";
  }
  return error;
}

// Whether the other side took all of a short text without being waited for.
bool write_if_ready(int fd, const std::string& text) {
  pollfd room{fd, POLLOUT, 0};
  if (text.size() > PIPE_BUF || ::poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) {
    return false;
  }
  return ::write(fd, text.data(), text.size()) >= 0;
}

// Frameworks are loaded by then, where the disk is not slow.  0: they are not looked at again.
std::chrono::milliseconds check_placement_after(
    const std::map<std::string, std::string>& environment, std::vector<std::string>& warnings) {
  const auto given = environment.find("MUSTER_CHECK_PLACEMENT_AFTER");
  if (given == environment.end() || given->second.empty()) return kCheckPlacementAfter;
  if (given->second == "0") return std::chrono::milliseconds(0);
  const auto span = parse_span(given->second);
  if (!span) {
    warnings.push_back("MUSTER_CHECK_PLACEMENT_AFTER is `" + without_controls(given->second) +
                       "`, which is no time: ranks are looked at again after " +
                       format_duration(kCheckPlacementAfter) +
                       "; write 10s, 500ms or 1m, or 0 for never");
  }
  return span.value_or(kCheckPlacementAfter);
}

// Of a console that still has something to show.
std::chrono::milliseconds patience_until(
    const std::optional<std::chrono::steady_clock::time_point>& finish_by) {
  if (!finish_by) return kConsolePatience;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      *finish_by - std::chrono::steady_clock::now());
  return std::clamp<std::chrono::milliseconds>(left, kShortestPatience, kConsolePatience);
}

cluster::PhaseEvent end_of(const plan::RunOutcome& outcome) {
  cluster::PhaseEvent end{cluster::PhaseEvent::What::kEnded};
  if (outcome.status == plan::RunStatus::kFailed) end.verdict = cluster::Phase::kFailed;
  if (outcome.status == plan::RunStatus::kCancelled) end.verdict = cluster::Phase::kCanceled;
  if (!outcome.first_failure) return end;
  const plan::FirstFailure& first = *outcome.first_failure;
  end.reason = (first.rank ? "rank " + std::to_string(*first.rank) + " " : "") + first.description;
  return end;
}

plan::RunOutcome cancelled_before_start(const StopAsked& asked, int world_size,
                                        std::chrono::system_clock::time_point created_at) {
  plan::RunOutcome outcome;
  outcome.status = plan::RunStatus::kCancelled;
  outcome.exit_code = 128 + asked.signal_number;
  plan::FirstFailure stopped;
  stopped.origin = plan::FailureOrigin::kMuster;
  stopped.how = "stopped";
  stopped.value = asked.signal_number;
  stopped.description = "stopped by " + asked.by;
  outcome.first_failure = stopped;
  for (int rank = 0; rank < world_size; ++rank) outcome.ranks.push_back({.rank = rank});
  // What was prepared took its time, too.
  outcome.started_at = created_at;
  outcome.ended_at = std::chrono::system_clock::now();
  return outcome;
}

}  // namespace

RunSession::RunSession(const CommandLine& line, LoadedRun run, std::optional<Detachment> detachment,
                       const cluster::Membership* membership)
    : line_(line),
      run_(std::move(run)),
      detachment_(std::move(detachment)),
      membership_(membership) {}

// Followers tell the others what happens, until they go.
RunSession::~RunSession() {
  followers_.reset();
}

Result<int> RunSession::run() {
  auto code = carry_out();
  end_streams(!code);
  if (cluster_) {
    const int exit_code = code ? *code : to_int(exit_code_for(code.error().code));
    cluster_->end(exit_code, end_summary_.empty() && !code ? code.error().message : end_summary_);
  }
  return code;
}

// After everybody who could write to them has gone.
void RunSession::end_streams(bool last_words_follow) {
  followers_.reset();
  mounts_.reset();
  control_.reset();
  if (cluster_) cluster_->log_to(nullptr);
  recorder_.reset();
  std::error_code error;
  if (!directory_ || !fs::exists(directory_->run_json(), error)) return;
  std::vector<std::string> paths = store::common_streams(*directory_);
  // A background's stderr is one of them.
  if (last_words_follow && line_.detach) {
    std::erase_if(paths, [](const std::string& path) { return path.starts_with("launcher/"); });
  }
  if (plan_.driver_sentences != plan::DriverSentences::kNone) {
    for (int rank = 0; rank < plan_.world_size; ++rank) {
      paths.push_back(store::RunDirectory::attempt_directory(rank, 0) + "/driver.log");
    }
  }
  // A disk without room for it: then verify says that ends are unknown.
  static_cast<void>(store::end_streams(*directory_, paths));
}

Result<int> RunSession::carry_out() {
  MUSTER_TRY_ASSIGN(const SignalFd signals, SignalFd::block(exec::signals_of_execution()));
  if (membership_ != nullptr) {
    std::optional<int> stopped_by;
    auto met = ClusterHead::meet(line_, *membership_, run_, signals, stopped_by);
    if (stopped_by) {
      std::fputs(("muster: " + met.error().message + " before the run had begun\n").c_str(),
                 stderr);
      return 128 + *stopped_by;
    }
    MUSTER_TRY_ASSIGN(cluster_, std::move(met));
  }
  MUSTER_TRY(choose_places());
  MUSTER_TRY_ASSIGN(rank_limits_, exec::raise_limits(plan_.world_size));
  MUSTER_TRY(make_directories());
  if (auto opened = open_records(); !opened) {
    static_cast<void>(remove_tree(directory_->root()));
    remove_empty_runs();
    return Failure(with_place_hint(std::move(opened).error()));
  }
  announce();
  StopWatch stops(signals, *control_);
  if (auto prepared = prepare(stops); !prepared) {
    return conclude_unprepared(std::move(prepared).error(), stops);
  }
  if (cluster_) cluster_->go();
  recorder_->happened({cluster::PhaseEvent::What::kPrepared});
  auto executed = execute(signals);
  lease_.release();  // storing what they wrote may take longer than they did
  if (!executed) return Failure(conclude_without_start(std::move(executed).error(), stops));
  if (mounts_) end_mounts(*mounts_, plan_, *executed);
  return conclude(std::move(*executed), stops);
}

// Whoever starts now, too, waits until it is told what this run has.
Result<> RunSession::choose_places() {
  LeaseTaking taking(run_);
  MUSTER_TRY_ASSIGN(plan_, plan::make_plan(run_.config, run_.inputs));
  if (membership_ != nullptr) {
    plan_.reasons.push_back(
        {"membership", membership_->scheduler, cluster::membership_text(*membership_)});
  }
  start_.run_id = line_.run_id.value_or(new_run_id());
  lease_ = taking.take(plan_, start_.run_id);
  check_placement_after_ = check_placement_after(run_.inputs.caller_environment, plan_.warnings);
  return {};
}

Result<store::RunDirectory> RunSession::create_run_directory(const std::string& runs) {
  shown_directory_ = (fs::path(runs) / start_.run_id).string();
  return store::RunDirectory::create(fs::absolute(runs), start_.run_id, plan_.world_size);
}

Result<> RunSession::make_directories() {
  const std::string& runs = line_.runs_dir;
  MUSTER_TRY_ASSIGN(ports_, lease_ports(run_.config, plan_));
  ports_.tell(start_);
  const int mpi_ranks = plan_.mpirun ? plan_.world_size : 0;
  const int open_mpi_major = run_.inputs.mpirun ? run_.inputs.mpirun->major : 0;
  MUSTER_TRY_ASSIGN(runtime_, exec::make_runtime_directories(run_.inputs.caller_environment,
                                                             mpi_ranks, open_mpi_major));
  if (!runtime_.warning.empty()) plan_.warnings.push_back(runtime_.warning);
  made_runs_ = !fs::exists(runs);
  auto made = create_run_directory(runs);
  // Of many runs that start in one second two may draw the same id.
  for (int again = 0; !made && !line_.run_id && fs::exists(shown_directory_) && again < 16;
       ++again) {
    start_.run_id = new_run_id();
    made = create_run_directory(runs);
  }
  if (!made) {
    remove_empty_runs();
    return Failure(with_place_hint(std::move(made).error()));
  }
  directory_ = std::move(*made);
  run_lock_ = directory_->lock();
  if (!plan_.in_place) {
    const fs::path name = fs::path(plan_.source_directory).lexically_normal().filename();
    start_.working_directory = (directory_->scratch() / (name.empty() ? "source" : name)).string();
  }
  start_.node_directory = directory_->node_files().string();
  start_.streams_directory = directory_->streams().string();
  start_.data_directory = (runtime_.runtime.path() / "data").string();
  start_.run_directory = directory_->root().string();
  plan::set_start_values(plan_, run_.config, start_);
  return {};
}

// The runs directory, if it is ours and nothing is in it.
void RunSession::remove_empty_runs() {
  if (made_runs_) ::rmdir(fs::path(shown_directory_).parent_path().c_str());
}

Result<> RunSession::open_records() {
  MUSTER_TRY(directory_->hold_reserve());
  MUSTER_TRY(store::link_azureml_names(
      *directory_, {plan_.world_size, plan_.nodes.front().hostname, plan_.mpirun.has_value(),
                    plan_.driver_sentences != plan::DriverSentences::kNone}));
  MUSTER_TRY(replace_file(directory_->config_yaml(),
                          config::without_secret_values(without_credentials(run_.config_text))));
  MUSTER_TRY(replace_file(directory_->plan_json(), plan::plan_json(plan_)));
  console_.emplace(console_options(line_, plan_.world_size));
  MUSTER_TRY_ASSIGN(RunRecorder recorder,
                    RunRecorder::open(*directory_, plan_.nodes.front().hostname, first_record(),
                                      *console_, is_terminal(STDERR_FILENO) && !line_.detach));
  recorder_.emplace(std::move(recorder));
  if (cluster_) {
    cluster_->log_to([this](const std::string& text) { recorder_->notice(text); });
    recorder_->when_phase([this](const cluster::RunPhase& run) { cluster_->tell_phase(run); });
  }
  recorder_->keep_process_files_live(plan_.driver_sentences != plan::DriverSentences::kNone);
  MUSTER_TRY(start_control());
  MUSTER_TRY(make_followers());
  MUSTER_TRY(recorder_->write_run_json(false));
  return exec::make_node_files(start_, plan_);
}

Result<> RunSession::start_control() {
  MUSTER_TRY_ASSIGN(control_, exec::RunControl::start(
                                  runtime_.control_socket(), *directory_, plan_.world_size,
                                  [this](const std::string& text) { recorder_->notice(text); }));
  recorder_->tell(*control_);
  if (cluster_) control_->several_nodes(plan_, cluster_->other_nodes());
  if (detachment_) {
    recorder_->when_all_started([this] {
      // Warnings that the console's thread has not shown yet would go into the log instead.
      console_->suspend(kDetachPatience);
      console_->resume();
      detachment_->complete(start_.run_id, directory_->root().string(),
                            directory_->launcher_log(plan_.nodes.front().hostname));
    });
  }
  return {};
}

Result<> RunSession::make_followers() {
  store::Writer writer;
  writer.run_id = start_.run_id;
  writer.name = "node-" + std::to_string(plan_.nodes.front().node_rank);
  writer.node = plan_.nodes.front().hostname;
  writer.boot_id = store::this_boot();
  writer.epoch = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                std::chrono::system_clock::now().time_since_epoch())
                                                .count());
  MUSTER_TRY(store::write_writer(*directory_, writer));
  FollowerContext context{run_, plan_, *directory_, line_, *recorder_, *console_, *control_};
  if (cluster_) context.output_names = cluster_->link().output_names();
  MUSTER_TRY_ASSIGN(RunFollowers followers, RunFollowers::create(context));
  followers_.emplace(std::move(followers));
  recorder_->when_all_started([this] { followers_->start(); });
  recorder_->when_grown([this] { followers_->grown(); });
  return {};
}

// A stop after the ranks have ended means: be quick now.
exec::FinishLimits RunSession::limits_of(const plan::RunOutcome& outcome, StopWatch& stops) const {
  return {outcome.finish_by, [&stops] { return stops.poll().has_value(); }};
}

void RunSession::announce() {
  // Before the console knows of any output: the first line comes first, also where stdout and
  // stderr are one pipe.  A terminal that blocks gets it from the console's thread.
  const std::string line = summary_line(run_, plan_, shown_directory_);
  if (!write_if_ready(STDERR_FILENO, line + "\n")) console_->print(line);
  for (int rank = 0; rank < plan_.world_size; ++rank) {
    console_->follow(rank, directory_->rank_stdout(rank, 0), directory_->rank_stderr(rank, 0));
  }
  for (const std::string& warning : plan_.warnings) console_->print("muster: warning: " + warning);
}

Result<plan::RunOutcome> RunSession::execute(const SignalFd& signals) {
  exec::ExecutionRequest request{plan_, *directory_, runtime_, signals,       {}, {}, {},
                                 {},    -1,          0,        control_.get()};
  request.rank_limits = rank_limits_;
  request.rank_environment = plan::inherited_environment(run_.inputs);
  request.starter_environment =
      plan_.mpirun ? plan::mpirun_environment(plan_, run_.inputs) : run_.inputs.caller_environment;
  request.agent_executable = run_.inputs.agent_executable;
  request.check_placement_after = check_placement_after_;
  if (plan_.streams.when_full.value == config::WhenFull::kBlock) {
    request.stream_policy = {store::StreamPolicy::WhenFull::kBlock,
                             plan_.streams.stall_budget.value};
  }
  std::optional<exec::TerminalInput> input;
  if (line_.stdin_to_rank0) {
    MUSTER_TRY_ASSIGN(auto opened, exec::TerminalInput::open());
    input.emplace(std::move(opened));
    request.rank0_stdin = input->fd();
  }
  std::optional<MountsCompanion> companion;
  request.flow = followers_->flow();
  if (mounts_) request.companion = &companion.emplace(*mounts_);
  request.owned_by_follower = [this](pid_t pid) { return followers_->owns(pid); };
  if (cluster_) request.head = &cluster_->link();
  control_->phase(protocol::RunState::STARTING);
  return exec::execute(request, *recorder_);
}

Result<> RunSession::prepare(StopWatch& stops) {
  if (!cluster_) return prepare_run(context_of(stops));
  MUSTER_TRY(cluster_->send_parts(plan_, start_));
  HeadStops all_stops(stops, *cluster_);
  auto prepared = prepare_run(context_of(all_stops));
  if (all_stops.trouble()) return Failure(*all_stops.trouble());
  if (!prepared) return prepared;
  return cluster_->await_prepared(stops);
}

PreparationContext RunSession::context_of(StopSource& stops) {
  return {run_, plan_, *directory_, runtime_, *recorder_, *console_, stops, mounts_, held_};
}

// A stop is the end that somebody asked for; the rest is an error.
Result<int> RunSession::conclude_unprepared(Error error, StopWatch& stops) {
  if (error.code != ErrorCode::kStopped || !stops.asked()) {
    return Failure(conclude_without_start(std::move(error), stops));
  }
  plan::RunOutcome outcome =
      cancelled_before_start(*stops.asked(), plan_.world_size, recorder_->record().created_at);
  if (mounts_) end_mounts(*mounts_, plan_, outcome);
  return conclude(std::move(outcome), stops);
}

Error RunSession::conclude_without_start(Error error, StopWatch& stops) {
  const bool delivers = has_collector() && error.code != ErrorCode::kRunDirectory;
  if (!delivers) static_cast<void>(console_->finish(kConsolePatience));
  directory_->release_reserve();
  static_cast<void>(remove_tree(directory_->node_files()));
  static_cast<void>(remove_tree(directory_->scratch()));
  if (error.code == ErrorCode::kRunDirectory) {
    static_cast<void>(remove_tree(directory_->root()));
    remove_empty_runs();
    return with_place_hint(std::move(error));
  }
  plan::RunOutcome outcome = failure_of_muster(error, "not_started");
  if (mounts_) end_mounts(*mounts_, plan_, outcome);
  static_cast<void>(record_end(outcome));
  store_report(format_error(error));
  if (delivers) {
    deliver_failure(outcome, stops);
    static_cast<void>(console_->finish(kConsolePatience));
  }
  control_->end(outcome.exit_code);
  return error;
}

// What was prepared has been sent since it began: its end is told there, too.
void RunSession::deliver_failure(plan::RunOutcome& outcome, StopWatch& stops) {
  const auto limits = limits_of(outcome, stops);
  followers_->finish(exec::Follower::Stage::kDelivery, outcome, limits);
  if (!outcome.warnings.empty()) static_cast<void>(record_outcome(outcome, false));
  const std::size_t warnings = outcome.warnings.size();
  followers_->finish_record(outcome, limits);
  if (outcome.warnings.size() != warnings) static_cast<void>(record_outcome(outcome, false));
}

bool RunSession::has_collector() const {
  return followers_ && plan_.streams.collector.value.has_value();
}

Result<int> RunSession::conclude(plan::RunOutcome outcome, StopWatch& stops) {
  control_->phase(protocol::RunState::STORING);
  report::ReportContext context;
  context.run_id = start_.run_id;
  context.run_directory = shown_directory_;
  // Results may take all that is left of a stop_budget, and more.
  if (outcome.finish_by) static_cast<void>(record_outcome(outcome, true));
  context.python3 = python3_alone(run_.config, run_.inputs.caller_environment);
  if (cluster_ && cluster_->has_gone()) {
    cluster_->store(outcome, plan_.limits.drain_timeout.value, limits_of(outcome, stops));
  }
  for (std::string& text :
       followers_->finish(exec::Follower::Stage::kResults, outcome, limits_of(outcome, stops))) {
    context.uploads.push_back(std::move(text));
  }
  summarize_outputs(context.outputs);
  for (std::string& text : upload(outcome, stops)) context.uploads.push_back(std::move(text));
  directory_->release_reserve();  // not before: outputs may take all the room that is left
  if (plan_.mpirun) {
    context.mpirun_log_tail =
        report::last_lines(directory_->mpirun_log(), kMpirunTailLines, kMpirunTailBytes);
  }
  // The record before the report: on a full disk the reserve may have room for one of them.
  const auto recorded = record_end(outcome);
  const bool had_failed = outcome.exit_code != 0;
  if (!recorded) fail_if_successful(outcome, recorded.error());
  std::string text = report::report_text(outcome, plan_, context);
  store_report(text);
  text = deliver(std::move(text), outcome, context, stops);
  control_->end(outcome.exit_code);
  end_summary_ = text.substr(0, text.find('\n'));
  if (end_summary_.starts_with("muster: ")) end_summary_.erase(0, 8);
  static_cast<void>(console_->finish(std::move(text), patience_until(outcome.finish_by)));
  remove_leftovers();
  // Else the report has said it.
  if (!recorded && had_failed) std::fputs(format_error(recorded.error()).c_str(), stderr);
  return outcome.exit_code;
}

// Everything but the record, then the record, which says what became of that.  Only that the record
// itself did not get there is told here alone, until it is synced.
std::string RunSession::deliver(std::string text, plan::RunOutcome& outcome,
                                report::ReportContext& context, StopWatch& stops) {
  std::size_t warnings = outcome.warnings.size();
  const plan::Incomplete incomplete = outcome.incomplete;
  const auto said =
      followers_->finish(exec::Follower::Stage::kDelivery, outcome, limits_of(outcome, stops));
  const bool failed = outcome.warnings.size() != warnings || outcome.incomplete != incomplete;
  if (said.empty() && !failed) return text;
  const std::vector<std::string> uploads = context.uploads;
  context.uploads.insert(context.uploads.end(), said.begin(), said.end());
  const auto store = [&] {
    text = report::report_text(outcome, plan_, context);
    store_report(text);
  };
  if (failed) static_cast<void>(record_outcome(outcome, false));
  store();
  // A background's last words go to the launcher's log, and belong to the record.
  if (line_.detach) static_cast<void>(console_->finish(text, patience_until(outcome.finish_by)));
  warnings = outcome.warnings.size();
  followers_->finish_record(outcome, limits_of(outcome, stops));
  if (outcome.warnings.size() == warnings) return text;
  context.uploads = uploads;  // it was not delivered after all
  static_cast<void>(record_outcome(outcome, false));
  store();
  return text;
}

// What of it could not be taken stays where it is, and the report says where.
void RunSession::summarize_outputs(report::OutputsSummary& summary) {
  for (const auto& folder : followers_->outputs().folders()) {
    if (folder.name == "outputs") summary = {folder.sum.files, folder.sum.bytes};
    if (folder.problem_count > 0 || (folder.name != "outputs" && folder.name != "logs")) continue;
    recorder_->event("files_collected", {{"folder", folder.name},
                                         {"files", static_cast<std::int64_t>(folder.sum.files)},
                                         {"bytes", static_cast<std::int64_t>(folder.sum.bytes)}});
  }
}

// What is not at its place is in the run directory, and the run has not succeeded.
std::vector<std::string> RunSession::upload(plan::RunOutcome& outcome, StopWatch& stops) {
  Uploads uploads = upload_outputs(context_of(stops), outcome);
  for (const Error& error : uploads.failures) {
    outcome.warnings.push_back(error.message);
    fail_if_successful(outcome, error, "data");
  }
  return std::move(uploads.said);
}

// Last: they may be large, and whoever stopped us may lose patience.
void RunSession::remove_leftovers() {
  directory_->remove_incoming();
  static_cast<void>(remove_tree(directory_->node_files()));
  if (!plan_.in_place && followers_->outputs().all_taken())
    static_cast<void>(remove_tree(directory_->scratch()));
}

// For whoever attaches, and for later readers.  Without room for it run.json says as much.
void RunSession::store_report(const std::string& text) const {
  static_cast<void>(replace_file(directory_->report_txt(), text));
}

report::RunRecord RunSession::first_record() const {
  report::RunRecord record;
  record.run_id = start_.run_id;
  record.created_at = std::chrono::system_clock::now();
  record.launcher =
      report::own_launcher_mark(plan_.nodes.front().hostname, static_cast<bool>(run_lock_));
  record.control_socket = runtime_.control_socket().string();
  record.command_line = line_.whole;
  record.run_directory = directory_->root().string();
  record.plan = report::summarize(plan_);
  record.attempts.push_back({0, record.created_at, std::nullopt});
  return record;
}

Result<> RunSession::record_outcome(const plan::RunOutcome& outcome, bool durable) {
  recorder_->record().attempts.back().outcome = outcome;
  return recorder_->write_run_json(durable);
}

Result<> RunSession::record_end(const plan::RunOutcome& outcome) {
  recorder_->happened(end_of(outcome));
  recorder_->event("run_ended", {{"exit_code", outcome.exit_code}});
  // A disk that is still busy with results may take seconds to make it durable; the outcome is
  // durable since before they were taken.
  const bool late = outcome.finish_by && std::chrono::steady_clock::now() >= *outcome.finish_by;
  return record_outcome(outcome, !late);
}

}  // namespace muster::cli
