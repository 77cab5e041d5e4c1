#include "launcher/cli/member_session.h"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <poll.h>
#include <unistd.h>

#include "base/error_text.h"
#include "base/exit_code.h"
#include "base/files.h"
#include "base/signals.h"
#include "base/text.h"
#include "collector/store/durable_state.h"
#include "collector/store/stream_ends.h"
#include "collector/store/writer.h"
#include "launcher/cli/own_join.h"
#include "launcher/cli/run_data.h"
#include "launcher/cli/run_preparation.h"
#include "launcher/exec/limits.h"
#include "launcher/exec/node_files.h"
#include "launcher/link/source_travel.h"
#include "launcher/plan/rank_environment.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using link::MemberEvent;
using protocol::HeadMessage;
using protocol::MemberMessage;

constexpr auto kConsolePatience = 2s;

// On a disk of this node, and not where the head's runs are: they may be the same directory.
Result<store::RunDirectory> make_store(const std::string& run_id, int node_rank,
                                       const plan::LaunchPlan& plan) {
  const std::string name = "muster-" + std::to_string(::geteuid()) + "-nodes";
  Error last;
  for (const char* parent : {"/var/tmp", "/tmp", "/dev/shm"}) {
    const fs::path runs = fs::path(parent) / name;
    std::error_code error;
    fs::create_directories(runs, error);
    fs::permissions(runs, fs::perms::owner_all, error);
    auto made = store::RunDirectory::create(runs, run_id + "." + std::to_string(node_rank), 0);
    if (made) {
      for (const plan::RankPlacement& rank : plan.ranks) {
        MUSTER_TRY(
            make_directories(made->root() / store::RunDirectory::attempt_directory(rank.rank, 0)));
      }
      return made;
    }
    last = std::move(made).error();
  }
  return Failure(std::move(last));
}

void wait_for(const std::vector<int>& fds, std::chrono::milliseconds most) {
  std::vector<pollfd> polled;
  for (const int fd : fds) polled.push_back({fd, POLLIN, 0});
  static_cast<void>(::poll(polled.data(), polled.size(), static_cast<int>(most.count())));
}

// Who ends a member's preparation: its own stops, and what the head says, or does not say any more.
class MemberStops final : public StopSource {
 public:
  MemberStops(StopSource& own, link::MemberLink& link, std::optional<protocol::RunEnd>& end,
              std::optional<Error>& head_lost)
      : own_(own), link_(link), end_(end), head_lost_(head_lost) {}

  std::vector<int> fds() const override {
    std::vector<int> all = own_.fds();
    all.push_back(link_.fd());
    return all;
  }

  const std::optional<StopAsked>& poll() override {
    if (const auto& own = own_.poll()) return own;
    while (!asked_) {
      const auto event = link_.next();
      if (!event) break;
      if (event->what == MemberEvent::What::kFailed) {
        head_lost_ = event->error.value_or(Error{});
        asked_ = StopAsked{SIGTERM, "the loss of the head"};
      } else if (event->message.has_end()) {
        end_ = event->message.end();
        asked_ = StopAsked{SIGTERM, "the end of the run"};
      }
    }
    return asked_;
  }

 private:
  StopSource& own_;
  link::MemberLink& link_;
  std::optional<protocol::RunEnd>& end_;
  std::optional<Error>& head_lost_;
  std::optional<StopAsked> asked_;
};

}  // namespace

MemberSession::MemberSession(const CommandLine& line, const cluster::Membership& membership,
                             LoadedRun run)
    : line_(line), membership_(membership), run_(std::move(run)) {}

MemberSession::~MemberSession() {
  followers_.reset();
  mounts_.reset();
  control_.reset();
  recorder_.reset();
}

void MemberSession::say(const std::string& text) const {
  std::fputs(("muster: " + text + "\n").c_str(), stderr);
}

Result<int> MemberSession::run() {
  MUSTER_TRY_ASSIGN(const SignalFd signals, SignalFd::block(exec::signals_of_execution()));
  link::MemberLinkSettings settings;
  settings.membership = membership_;
  MUSTER_TRY_ASSIGN(settings.keys, cluster_keys(line_));
  settings.insecure = line_.has("insecure");
  settings.join = own_join(run_, membership_);
  settings.join_timeout = run_.config.limits.join_timeout.value;
  settings.silence_allowed = run_.config.limits.node_lost_after.value;
  MUSTER_TRY_ASSIGN(link_, link::MemberLink::open(std::move(settings)));
  MUSTER_TRY_ASSIGN(const auto early, await_part(signals));
  if (early) return conclude(*early);

  if (auto taken = take_part(part_); !taken) {
    tell_prepared(&taken.error());
    return Failure(std::move(taken).error());
  }
  StopWatch stops(signals, *control_);
  auto prepared = prepare(stops);
  if (early_end_ || head_lost_) {
    clean_up(true);
    if (early_end_) return conclude(*early_end_);
    return Failure(std::move(*head_lost_));
  }
  if (!prepared) {
    if (prepared.error().code == ErrorCode::kStopped && stops.asked()) {
      ask_stop(*stops.asked());
    } else {
      tell_prepared(&prepared.error());
    }
    const auto end = await_end(stops);
    clean_up(true);
    if (!end) return Failure(end.error());
    return conclude(*end);
  }
  tell_prepared(nullptr);
  auto ended = await_go(stops);
  if (!ended || *ended) {
    clean_up(true);
    if (!ended) return Failure(std::move(ended).error());
    return conclude(**ended);
  }
  auto hosted = host(signals);
  if (!hosted) {
    tell_prepared(&hosted.error());
    clean_up(true);
    return Failure(std::move(hosted).error());
  }
  if (mounts_) end_mounts(*mounts_, plan_, hosted->outcome);
  if (hosted->head_lost) {
    clean_up(false);
    if (hosted->end) return conclude(*hosted->end);
    return Failure(hosted->why_head_lost);
  }
  const bool all_there = store(hosted->outcome, stops);
  auto end = await_end(stops);
  clean_up(all_there);
  if (!end) return Failure(std::move(end).error());
  return conclude(*end);
}

Result<std::optional<protocol::RunEnd>> MemberSession::await_part(const SignalFd& signals) {
  while (true) {
    while (const auto event = link_->next()) {
      if (event->what == MemberEvent::What::kWaiting) say(event->text);
      if (event->what == MemberEvent::What::kFailed) return Failure(event->error.value_or(Error{}));
      if (event->what != MemberEvent::What::kMessage) continue;
      if (event->message.has_end()) return std::optional(event->message.end());
      if (event->message.has_part()) {
        part_ = event->message.part();
        return std::optional<protocol::RunEnd>();
      }
    }
    while (const auto info = signals.read()) {
      const int signal_number = static_cast<int>(info->ssi_signo);
      for (const int each : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        if (signal_number != each) continue;
        // The head waits for this node, or ends the run: it hears of it by the connection.
        protocol::RunEnd end;
        end.set_exit_code(128 + each);
        end.set_summary("stopped by " + signal_name(each) + " before the run had begun");
        return std::optional(std::move(end));
      }
    }
    wait_for({link_->fd(), signals.get()}, 1s);
  }
}

Result<> MemberSession::take_part(const protocol::Part& part) {
  run_.inputs.part = part_from(part);
  run_.inputs.nodes.front().hostname = without_controls(part.node_name());
  start_.run_id = part.run_id();
  start_.master_port = part.master_port();
  start_.service_port = part.service_port();
  MUSTER_TRY_ASSIGN(plan_, plan::make_plan(run_.config, run_.inputs));
  const std::string digest = plan::placement_digest(plan_, part.node_rank());
  if (digest != part.placement_digest()) {
    return fail(ErrorCode::kInternal,
                "this node places its ranks otherwise than the head has planned",
                "are the configs, and the Muster, the same on all nodes?");
  }
  MUSTER_TRY_ASSIGN(rank_limits_, exec::raise_limits(static_cast<int>(plan_.ranks.size())));
  MUSTER_TRY(make_directories(part));
  return open_records();
}

Result<> MemberSession::make_directories(const protocol::Part& part) {
  const int mpi_ranks =
      plan_.backend == config::Backend::kMpi ? static_cast<int>(plan_.ranks.size()) : 0;
  const int open_mpi_major = run_.inputs.mpirun ? run_.inputs.mpirun->major : 0;
  MUSTER_TRY_ASSIGN(runtime_, exec::make_runtime_directories(run_.inputs.caller_environment,
                                                             mpi_ranks, open_mpi_major));
  MUSTER_TRY_ASSIGN(auto made, make_store(part.run_id(), part.node_rank(), plan_));
  directory_ = std::move(made);
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

Result<> MemberSession::open_records() {
  MUSTER_TRY(directory_->hold_reserve());
  report::ConsoleOptions quiet = {};
  quiet.mode = report::ConsoleMode::kNone;
  console_.emplace(quiet);
  report::RunRecord record;
  record.run_id = start_.run_id;
  MUSTER_TRY_ASSIGN(RunRecorder recorder,
                    RunRecorder::open_member(*directory_, plan_.nodes.front().hostname,
                                             std::move(record), *console_));
  recorder_.emplace(std::move(recorder));
  MUSTER_TRY_ASSIGN(control_, exec::RunControl::start(
                                  runtime_.control_socket(), *directory_, plan_.world_size,
                                  [this](const std::string& text) { recorder_->notice(text); }));
  recorder_->tell(*control_);
  store::Writer writer;
  writer.run_id = start_.run_id;
  writer.name = "node-" + std::to_string(part_.node_rank());
  writer.node = plan_.nodes.front().hostname;
  writer.boot_id = store::this_boot();
  writer.epoch = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                                std::chrono::system_clock::now().time_since_epoch())
                                                .count());
  MUSTER_TRY(store::write_writer(*directory_, writer));
  replication::ClientSettings head;
  head.collector = link_->head().value_or(replication::Address{});
  MUSTER_TRY_ASSIGN(head.keys, cluster_keys(line_));
  head.insecure = line_.has("insecure");
  head.writer = writer;
  FollowerContext context{run_,       plan_,     *directory_, line_,
                          *recorder_, *console_, *control_,   std::move(head)};
  std::error_code ignored;
  context.shares_directory =
      plan_.in_place && !part_.marker().empty() && part_.marker().find('/') == std::string::npos &&
      fs::exists(fs::path(plan_.working_directory) / part_.marker(), ignored);
  MUSTER_TRY_ASSIGN(RunFollowers followers, RunFollowers::create(context));
  followers_.emplace(std::move(followers));
  recorder_->when_all_started([this] { followers_->start(); });
  recorder_->when_grown([this] { followers_->grown(); });
  return exec::make_node_files(start_, plan_);
}

// The head's copy, where this node has none.
Result<> MemberSession::take_source(StopWatch& stops) {
  MUSTER_TRY_ASSIGN(auto taker, link::SourceTaker::open(plan_.working_directory));
  MemberMessage wanted;
  wanted.mutable_source();
  link_->send(wanted);
  for (bool is_whole = false;;) {
    while (const auto event = link_->next()) {
      if (event->what == MemberEvent::What::kFailed) {
        head_lost_ = event->error.value_or(Error{});
        return Failure(*head_lost_);
      }
      if (event->what != MemberEvent::What::kMessage) continue;
      if (event->message.has_end()) early_end_ = event->message.end();
      if (!event->message.has_source() || is_whole) continue;
      MUSTER_TRY_ASSIGN(const auto state, taker.take(event->message.source()));
      if (state == link::SourceTaker::State::kWantsMore) link_->send(wanted);
      is_whole = state == link::SourceTaker::State::kDone;
    }
    if (early_end_) return fail(ErrorCode::kStopped, "the run has ended");
    if (is_whole) {
      recorder_->notice("the head has sent the source: " +
                        counted(static_cast<std::int64_t>(taker.files()), "file") + ", " +
                        format_bytes(taker.bytes()));
      for (const char* folder : {"outputs", "logs"}) {
        MUSTER_TRY(muster::make_directories(fs::path(plan_.working_directory) / folder));
      }
      return {};
    }
    if (stops.poll()) return fail(ErrorCode::kStopped, "stopped by " + stops.poll()->by);
    std::vector<int> fds = stops.fds();
    fds.push_back(link_->fd());
    wait_for(fds, 1s);
  }
}

Result<> MemberSession::prepare(StopWatch& stops) {
  if (part_.send_source()) MUSTER_TRY(take_source(stops));
  MemberStops all_stops(stops, *link_, early_end_, head_lost_);
  return prepare_run(
      {run_, plan_, *directory_, runtime_, *recorder_, *console_, all_stops, mounts_, held_});
}

void MemberSession::tell_prepared(const Error* problem) {
  MemberMessage message;
  protocol::Prepared& prepared = *message.mutable_prepared();
  prepared.set_placement_digest(part_.placement_digest());
  if (problem != nullptr) {
    prepared.set_problem(problem->message);
    prepared.set_exit_code(to_int(exit_code_for(problem->code)));
  }
  link_->send(std::move(message));
}

void MemberSession::ask_stop(const StopAsked& asked) {
  MemberMessage message;
  message.mutable_stop()->set_signal_number(asked.signal_number);
  message.mutable_stop()->set_by(asked.by + " at " + plan_.nodes.front().hostname);
  link_->send(std::move(message));
}

Result<std::optional<protocol::RunEnd>> MemberSession::await_go(StopWatch& stops) {
  bool asked = false;
  while (true) {
    while (const auto event = link_->next()) {
      if (event->what == MemberEvent::What::kFailed) return Failure(event->error.value_or(Error{}));
      if (event->what != MemberEvent::What::kMessage) continue;
      if (event->message.has_end()) return std::optional(event->message.end());
      if (event->message.has_go()) return std::optional<protocol::RunEnd>();
    }
    if (!asked && stops.poll()) {
      asked = true;
      ask_stop(*stops.asked());
    }
    std::vector<int> fds = stops.fds();
    fds.push_back(link_->fd());
    wait_for(fds, 1s);
  }
}

Result<exec::HostedRanks> MemberSession::host(const SignalFd& signals) {
  exec::ExecutionRequest request{plan_, *directory_, runtime_, signals,       {}, {}, {},
                                 {},    -1,          0,        control_.get()};
  request.rank_limits = rank_limits_;
  request.rank_environment = plan::inherited_environment(run_.inputs);
  request.starter_environment =
      plan_.mpirun ? plan::mpirun_environment(plan_, run_.inputs) : run_.inputs.caller_environment;
  request.agent_executable = run_.inputs.agent_executable;
  if (plan_.streams.when_full.value == config::WhenFull::kBlock) {
    request.stream_policy = {store::StreamPolicy::WhenFull::kBlock,
                             plan_.streams.stall_budget.value};
  }
  std::optional<MountsCompanion> companion;
  request.flow = followers_->flow();
  if (mounts_) request.companion = &companion.emplace(*mounts_);
  request.owned_by_follower = [this](pid_t pid) { return followers_->owns(pid); };
  return exec::host_node(request, *link_, *recorder_);
}

// Outputs first, then everything to the head.  Whether all of it is there.
bool MemberSession::store(plan::RunOutcome& outcome, StopWatch& stops) {
  const exec::FinishLimits limits{std::nullopt, [&stops] { return stops.poll().has_value(); }};
  outcome.exit_code = 0;
  followers_->finish(exec::Follower::Stage::kResults, outcome, limits);
  MemberMessage message;
  protocol::Stored& stored = *message.mutable_stored();
  for (const std::string& warning : outcome.warnings) stored.add_warnings(warning);
  if (outcome.first_failure) {
    stored.set_problem(outcome.first_failure->description);
    stored.set_exit_code(outcome.exit_code);
  }
  link_->send(message);
  directory_->release_reserve();
  followers_->finish(exec::Follower::Stage::kDelivery, outcome, limits);
  std::vector<std::string> ends = store::common_streams(*directory_);
  std::erase_if(ends, [](const std::string& path) { return path.find('/') == path.npos; });
  static_cast<void>(store::end_streams(*directory_, ends));
  followers_->finish_record(outcome, limits);
  if (outcome.incomplete.undelivered) return false;
  MemberMessage replicated;
  replicated.mutable_replicated();
  link_->send(std::move(replicated));
  return true;
}

Result<protocol::RunEnd> MemberSession::await_end(StopWatch& stops) {
  while (true) {
    while (const auto event = link_->next()) {
      if (event->what == MemberEvent::What::kFailed) return Failure(event->error.value_or(Error{}));
      if (event->what != MemberEvent::What::kMessage) continue;
      if (event->message.has_end()) return event->message.end();
      if (event->message.has_phase()) recorder_->notice(exec::in_words(event->message.phase()));
    }
    static_cast<void>(stops.poll());  // there is nothing left here that could stop sooner
    wait_for({link_->fd()}, 1s);
  }
}

int MemberSession::conclude(const protocol::RunEnd& end) {
  if (!end.summary().empty()) say(without_controls(end.summary()));
  return end.exit_code();
}

void MemberSession::clean_up(bool everything_is_there) {
  if (console_) static_cast<void>(console_->finish(kConsolePatience));
  followers_.reset();
  mounts_.reset();
  if (!directory_) return;
  if (everything_is_there) {
    control_.reset();
    recorder_.reset();
    run_lock_ = Fd();
    static_cast<void>(remove_tree(directory_->root()));
    return;
  }
  directory_->release_reserve();
  static_cast<void>(remove_tree(directory_->node_files()));
  say("what this node's ranks wrote is in " + directory_->root().string());
}

}  // namespace muster::cli
