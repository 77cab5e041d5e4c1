#include "launcher/cli/run_followers.h"

#include <algorithm>

#include "collector/store/writer.h"
#include "launcher/cli/collector_client.h"
#include "launcher/cli/muster_failure.h"
#include "launcher/exec/metrics_follower.h"
#include "launcher/exec/node_metrics_follower.h"
#include "launcher/exec/replication_follower.h"
#include "launcher/exec/sync_follower.h"

namespace muster::cli {
namespace {

// What could not be stored or delivered makes a run that succeeded a failed one.
void record_failure(plan::RunOutcome& outcome, const Error& error) {
  outcome.warnings.push_back(error.message);
  const bool of_directory = error.code == ErrorCode::kRunDirectory;
  fail_if_successful(outcome, error, of_directory ? "run_directory" : "run_store");
}

void add(plan::Incomplete& all, const plan::Incomplete& more) {
  all.dropped_bytes += more.dropped_bytes;
  all.dropped_ranges += more.dropped_ranges;
  all.undelivered = all.undelivered || more.undelivered;
  all.undelivered_bytes += more.undelivered_bytes;
  all.files_not_stored += more.files_not_stored;
}

std::unique_ptr<exec::Follower> metrics_of(const FollowerContext& context) {
  std::vector<metrics::PatternSpec> specs;
  for (const config::MetricPattern& pattern : context.plan.metric_patterns) {
    const metrics::Preset* preset = metrics::find_preset(pattern.preset);
    specs.push_back(preset ? preset->spec : metrics::PatternSpec{pattern.name, pattern.regex});
  }
  // The config was refused if one of them is none.
  auto patterns = metrics::Patterns::compile(specs);
  return std::make_unique<exec::MetricsFollower>(
      context.directory, patterns ? std::move(*patterns) : metrics::Patterns(),
      context.run.inputs.caller_environment);
}

exec::OutputsRequest outputs_request(const FollowerContext& context) {
  exec::OutputsRequest request{context.directory, context.plan.working_directory};
  request.in_place = context.plan.in_place;
  // Those without a place of their own, and those that are copied to it afterwards.
  const std::string root = context.directory.root().string() + "/";
  for (const plan::DataItem& item : context.plan.data.items) {
    if (item.is_output && item.link_target.starts_with(root + "outputs/")) {
      request.named.push_back(item.link_target.substr(root.size()));
    }
  }
  const config::Results& results = context.run.config.results;
  request.live = results.live.value;
  if (results.max_size.value) {
    request.max_bytes = static_cast<std::uint64_t>(*results.max_size.value);
  }
  request.environment = context.run.inputs.caller_environment;
  request.names = context.output_names;
  request.is_shared = context.shares_directory;
  request.lowest_rank = context.plan.first_rank();
  request.say = [&recorder = context.recorder,
                 &console = context.console](const std::string& line) {
    recorder.notice(line);
    console.print(line);
  };
  request.tell = [&recorder = context.recorder](const outputs::FileEvent& event) {
    recorder.event(event.what, {{"path", event.path}, {"why", event.why}});
  };
  return request;
}

std::unique_ptr<exec::Follower> follow_node(const FollowerContext& context) {
  const auto& interval = context.run.config.metrics.node_interval.value;
  if (!interval) return nullptr;
  exec::NodeMetricsOptions options;
  options.node = context.plan.nodes.front().hostname;
  options.file = context.directory.node_metrics(options.node);
  options.run_directory = context.directory.root();
  options.interval = *interval;
  for (const topology::Gpu& gpu : context.run.inputs.nodes.front().gpus) {
    // An instance (MIG) has no power or temperature of its own: its GPU's stand for the first.
    const std::string& uuid = gpu.parent_uuid.empty() ? gpu.uuid : gpu.parent_uuid;
    if (!uuid.empty()) options.gpus.emplace(uuid, gpu.visible_ordinal);
  }
  RunRecorder& recorder = context.recorder;
  options.ranks = [&recorder] {
    std::vector<exec::RankProcess> ranks;
    for (const plan::RankOutcome& rank : recorder.started_ranks()) {
      ranks.push_back({rank.rank, rank.training_pid});
    }
    return ranks;
  };
  options.notice = [&recorder](const std::string& text) { recorder.notice(text); };
  return std::make_unique<exec::NodeMetricsFollower>(std::move(options));
}

}  // namespace

Result<RunFollowers> RunFollowers::create(const FollowerContext& context) {
  RunFollowers followers;
  // First: what it stores the others read.
  auto outputs = std::make_unique<exec::OutputsFollower>(outputs_request(context));
  followers.outputs_ = outputs.get();
  followers.followers_.push_back(std::move(outputs));
  if (auto node_metrics = follow_node(context)) {
    followers.followers_.push_back(std::move(node_metrics));
  }
  if (!context.head) followers.followers_.push_back(metrics_of(context));
  followers.followers_.push_back(std::make_unique<exec::SyncFollower>(context.directory));
  MUSTER_TRY(followers.add_delivery(context));
  return followers;
}

// Last: it sends what the others have stored.
Result<> RunFollowers::add_delivery(const FollowerContext& context) {
  const config::Streams& streams = context.plan.streams;
  if (!context.head && !streams.collector.value && !streams.max_size.value) return {};
  replication::StoreSenderSettings sender;
  exec::DeliverySettings settings;
  settings.drain_timeout = context.plan.limits.drain_timeout.value;
  if (context.head) {
    settings.collector = context.head->collector.to_string();
    settings.sync_command = sync_command_line(context.directory.root().string(), context.line);
    sender.client = context.head;
  } else if (streams.collector.value) {
    settings.collector = *streams.collector.value;
    settings.sync_command = sync_command_line(context.directory.root().string(), context.line);
    MUSTER_TRY_ASSIGN(store::Writer writer, store::read_writer(context.directory));
    MUSTER_TRY_ASSIGN(sender.client,
                      client_settings(*streams.collector.value, context.line, std::move(writer)));
  }
  if (streams.max_size.value) {
    store::StoreBound bound;
    bound.max_size = static_cast<std::uint64_t>(*streams.max_size.value);
    bound.blocks = streams.when_full.value == config::WhenFull::kBlock;
    bound.stall_budget = streams.stall_budget.value;
    sender.bound = bound;
    if (bound.blocks) {
      MUSTER_TRY_ASSIGN(flow_, exec::FlowControl::create());
      sender.wait = [flow = flow_.get()](bool waits) { waits ? flow->pause() : flow->resume(); };
    }
  }
  exec::DeliveryListener listener;
  listener.event = [&recorder = context.recorder](const std::string& event, const std::string& why,
                                                  std::uint64_t unsent) {
    recorder.event(event, {{"why", why}, {"unsent_bytes", static_cast<std::int64_t>(unsent)}});
  };
  listener.say = [&recorder = context.recorder,
                  &console = context.console](const std::string& line) {
    recorder.notice(line);
    console.print(line);
  };
  if (context.head) {
    listener.say = [&recorder = context.recorder](const std::string& line) {
      recorder.notice(line);
    };
  }
  listener.show = [&console = context.console](const std::string& line) { console.print(line); };
  listener.progress = [&control = context.control,
                       address = settings.collector](const replication::SendProgress& progress) {
    if (address.empty()) return;
    protocol::CollectorState state;
    state.set_address(address);
    state.set_connected(progress.link.connected);
    state.set_unsent_bytes(progress.unsent);
    state.set_behind_ms(progress.behind.count());
    if (progress.link.trouble) state.set_trouble(progress.link.trouble->message);
    if (progress.link.connected) state.set_trouble(progress.held_up);
    state.set_answers(progress.link.answers);
    state.set_dropped_bytes(progress.dropped);
    control.collector(state);
  };
  MUSTER_TRY_ASSIGN(auto follower,
                    exec::ReplicationFollower::create(context.directory, std::move(sender),
                                                      std::move(settings), std::move(listener)));
  followers_.push_back(std::move(follower));
  return {};
}

void RunFollowers::start() {
  if (started_) return;
  started_ = true;
  for (const auto& follower : followers_) follower->start();
}

void RunFollowers::grown() {
  for (const auto& follower : followers_) follower->grown();
}

bool RunFollowers::owns(pid_t pid) const {
  return std::any_of(followers_.begin(), followers_.end(),
                     [pid](const auto& follower) { return follower->owns(pid); });
}

std::vector<std::string> RunFollowers::finish(exec::Follower::Stage stage,
                                              plan::RunOutcome& outcome,
                                              const exec::FinishLimits& limits) {
  std::vector<std::string> said;
  for (const auto& follower : followers_) {
    if (follower->stage() != stage) continue;
    exec::FollowerEnd end = follower->finish(limits);
    for (std::string& text : end.said) said.push_back(std::move(text));
    for (std::string& text : end.warnings) outcome.warnings.push_back(std::move(text));
    add(outcome.incomplete, end.incomplete);
    if (end.failure) record_failure(outcome, *end.failure);
  }
  return said;
}

void RunFollowers::finish_record(plan::RunOutcome& outcome, const exec::FinishLimits& limits) {
  for (const auto& follower : followers_) {
    const exec::FollowerEnd end = follower->finish_record(limits);
    add(outcome.incomplete, end.incomplete);
    if (end.failure) record_failure(outcome, *end.failure);
  }
}

}  // namespace muster::cli
