#include "launcher/cli/cluster_head.h"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/exit_code.h"
#include "base/text.h"
#include "launcher/cli/muster_failure.h"
#include "launcher/cli/own_join.h"
#include "launcher/cluster/facts.h"
#include "launcher/cluster/interfaces.h"
#include "launcher/topology/inventory_json.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
using cluster::HeadAction;
using What = HeadAction::What;

constexpr auto kRingLimit = 5s;
constexpr auto kLastWordPatience = 2s;
constexpr auto kLook = 100ms;  // how often a wait looks at what tells nothing by itself

// Until one of them is readable, or for so long.
void wait_for(std::vector<int> fds, std::chrono::milliseconds most) {
  std::vector<pollfd> polled;
  for (const int fd : fds) polled.push_back({fd, POLLIN, 0});
  static_cast<void>(::poll(polled.data(), polled.size(), static_cast<int>(most.count())));
}

// A signal that ends a run before it has begun.
std::optional<int> stop_signal(const SignalFd& signals) {
  std::optional<int> stop;
  while (const auto info = signals.read()) {
    const int signal_number = static_cast<int>(info->ssi_signo);
    for (const int each : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
      if (signal_number == each) stop = each;
    }
  }
  return stop;
}

Error stopped(int signal_number) {
  return Error{ErrorCode::kStopped, "stopped by " + signal_name(signal_number), "", std::nullopt};
}

}  // namespace

Result<std::unique_ptr<ClusterHead>> ClusterHead::meet(const CommandLine& line,
                                                       const cluster::Membership& membership,
                                                       LoadedRun& run, const SignalFd& signals,
                                                       std::optional<int>& stopped_by) {
  std::unique_ptr<ClusterHead> head(new ClusterHead(line, membership));
  MUSTER_TRY(head->open(run));
  const auto met = [&]() -> Result<> {
    MUSTER_TRY(head->await_all(signals));
    MUSTER_TRY(head->use_inventories(run));
    MUSTER_TRY(head->await_proofs(signals));
    std::vector<const protocol::Join*> joins;
    for (const protocol::Join& join : head->joins_) joins.push_back(&join);
    const cluster::FactTable table = cluster::compare_facts(joins);
    if (!table.text.empty()) head->say(table.text.substr(0, table.text.size() - 1));
    if (table.fatal) {
      const bool of_config = table.exit_code == to_int(ExitCode::kConfig);
      return fail(of_config ? ErrorCode::kConfig : ErrorCode::kResources,
                  "the nodes of the run differ where they must not",
                  "the table above says in what");
    }
    std::vector<std::string> wanted;
    for (const auto& word : run.config.network.interfaces) wanted.push_back(word.value);
    MUSTER_TRY_ASSIGN(run.inputs.network,
                      cluster::choose_network(joins, *head->link_->proofs(), wanted));
    return {};
  }();
  if (!met) {
    stopped_by = head->stopped_by_;
    const int code = stopped_by ? 128 + *stopped_by : to_int(exit_code_for(met.error().code));
    head->end(code, "the run has not begun: " + met.error().message);
    return Failure(met.error());
  }
  return head;
}

ClusterHead::~ClusterHead() {
  take_marker_away();
  end(to_int(ExitCode::kInternal), "the head has failed");
}

void ClusterHead::say(const std::string& text) const {
  std::fputs(("muster: " + text + "\n").c_str(), stderr);
}

std::string ClusterHead::name_of(int node_rank) const {
  const auto index = static_cast<std::size_t>(node_rank);
  return index < joins_.size() ? without_controls(joins_[index].hostname())
                               : "node rank " + std::to_string(node_rank);
}

Error ClusterHead::lost_error(const std::string& text) const {
  return Error{ErrorCode::kInternal, text, "the launcher of that node says why, if it lives",
               std::nullopt};
}

Result<> ClusterHead::open(const LoadedRun& run) {
  link::HeadLinkSettings settings;
  MUSTER_TRY_ASSIGN(settings.keys, cluster_keys(line_));
  settings.insecure = line_.has("insecure");
  settings.listen.transport =
      settings.keys ? replication::Transport::kTls : replication::Transport::kTcp;
  settings.listen.host = "*";
  settings.listen.port = static_cast<std::uint16_t>(membership_.port.value);
  settings.node_count = membership_.node_count.value;
  settings.own = own_join(run, membership_);
  settings.limits.join_timeout = run.config.limits.join_timeout.value;
  settings.limits.lost_after = run.config.limits.node_lost_after.value;
  if (membership_.address_file) settings.address_file = membership_.address_file->value;
  settings.log = [log = log_](const std::string& line) {
    const std::scoped_lock lock(log->mutex);
    if (log->to) log->to(line);
  };
  MUSTER_TRY_ASSIGN(link_, link::HeadLink::open(std::move(settings)));
  return {};
}

void ClusterHead::log_to(std::function<void(const std::string&)> log) {
  const std::scoped_lock lock(log_->mutex);
  log_->to = std::move(log);
}

exec::OtherNodes ClusterHead::other_nodes() {
  const auto ask = [this](std::uint64_t number) {
    protocol::HeadMessage message;
    message.mutable_sample()->set_number(number);
    link_->send_to_all(std::move(message));
  };
  return {ask, [this](int node_rank) { return link_->clock_of(node_rank); }};
}

Result<> ClusterHead::await_all(const SignalFd& signals) {
  while (true) {
    while (const auto each = link_->next()) {
      switch (each->what) {
        case What::kAllHere: return {};
        case What::kMissing:
          return fail(ErrorCode::kTimeout, each->text,
                      "start muster run there, with the same token and the address of this node; "
                      "--join-timeout waits longer");
        case What::kWaiting:
        case What::kRefused: say(each->text); break;
        default: break;
      }
    }
    if ((stopped_by_ = stop_signal(signals))) return Failure(stopped(*stopped_by_));
    wait_for({link_->fd(), signals.get()}, 1s);
  }
}

Result<> ClusterHead::await_proofs(const SignalFd& signals) {
  link_->prove_ring(kRingLimit);
  while (!link_->proofs()) {
    while (const auto each = link_->next()) {
      if (each->what == What::kLost) return Failure(lost_error(each->text));
    }
    if ((stopped_by_ = stop_signal(signals))) return Failure(stopped(*stopped_by_));
    wait_for({link_->fd(), signals.get()}, kLook);
  }
  return {};
}

Result<> ClusterHead::use_inventories(LoadedRun& run) {
  run.inputs.nodes.resize(1);
  std::set<std::string> names = {run.inputs.nodes.front().hostname};
  for (cluster::NodeSeen& node : link_->nodes()) {
    if (node.node_rank > 0) {
      auto inventory = topology::inventory_from_json(node.join.inventory());
      if (!inventory) {
        Error error = std::move(inventory).error();
        error.message = without_controls(node.hostname) + ": its inventory: " + error.message;
        return Failure(std::move(error));
      }
      inventory->hostname = without_controls(node.hostname);
      // Records are kept by this name.
      if (!names.insert(inventory->hostname).second) {
        inventory->hostname += "-" + std::to_string(node.node_rank);
      }
      run.inputs.nodes.push_back(std::move(*inventory));
    }
    joins_.push_back(std::move(node.join));
  }
  return {};
}

Result<> ClusterHead::send_parts(const plan::LaunchPlan& plan, const plan::StartValues& start) {
  MUSTER_TRY(link_->store_into(start.run_directory, start.run_id));
  put_marker(plan, start.run_id);
  source_ = plan.working_directory;
  for (int node = 1; node < membership_.node_count.value; ++node) {
    protocol::HeadMessage message;
    *message.mutable_part() = part_message(plan::part_of(plan, node));
    protocol::Part& part = *message.mutable_part();
    part.set_run_id(start.run_id);
    part.set_node_name(plan.nodes[static_cast<std::size_t>(node)].hostname);
    part.set_master_port(start.master_port);
    part.set_service_port(start.service_port);
    part.set_marker(marker_.filename().string());
    part.set_has_mpirun(plan.mpirun.has_value());
    if (plan.mpirun) part.set_mpirun_version(plan.mpirun->version);
    part.set_placement_digest(plan::placement_digest(plan, node));
    part.set_send_source(!joins_[static_cast<std::size_t>(node)].has_source());
    link_->send(node, std::move(message));
  }
  return {};
}

// Where none can be put nobody puts results either.
void ClusterHead::put_marker(const plan::LaunchPlan& plan, const std::string& run_id) {
  if (!plan.in_place) return;
  const std::filesystem::path path =
      std::filesystem::path(plan.working_directory) / (".muster-" + run_id);
  if (open_file(path, O_WRONLY | O_CREAT | O_EXCL)) marker_ = path;
}

void ClusterHead::take_marker_away() {
  if (!marker_.empty()) ::unlink(marker_.c_str());
  marker_.clear();
}

std::optional<HeadAction> ClusterHead::next() {
  if (early_.empty()) return link_->next();
  HeadAction first = std::move(early_.front());
  early_.pop_front();
  return first;
}

std::optional<Error> ClusterHead::trouble_in(const HeadAction& action) const {
  if (action.what == What::kLost) return lost_error(action.text);
  if (action.what != What::kMessage) return std::nullopt;
  const protocol::MemberMessage& said = action.received;
  if (said.has_prepared() && !said.prepared().problem().empty()) {
    return Error{error_code_for(said.prepared().exit_code()),
                 name_of(action.node_rank) + ": " + without_controls(said.prepared().problem()), "",
                 std::nullopt};
  }
  if (!said.has_stop()) return std::nullopt;
  const std::string by = without_controls(said.stop().by());
  if (said.stop().signal_number() == 0) {
    return Error{error_code_for(said.stop().exit_code()), by, "", std::nullopt};
  }
  return Error{ErrorCode::kStopped, "stopped by " + by, "", std::nullopt};
}

std::optional<Error> ClusterHead::trouble() {
  while (auto each = link_->next()) {
    early_.push_back(std::move(*each));
    if (auto trouble = trouble_in(early_.back())) return trouble;
  }
  return std::nullopt;
}

Result<> ClusterHead::await_prepared(StopSource& stops) {
  const auto wanted = static_cast<std::size_t>(membership_.node_count.value - 1);
  while (prepared_.size() < wanted) {
    while (const auto each = next()) {
      if (auto trouble = trouble_in(*each)) return Failure(std::move(*trouble));
      if (each->what == What::kSuspect || each->what == What::kWakes) say(each->text);
      if (each->what != What::kMessage) continue;
      if (each->received.has_prepared()) prepared_.insert(each->node_rank);
      if (each->received.has_source()) MUSTER_TRY(send_source(each->node_rank));
    }
    if (stops.poll()) return fail(ErrorCode::kStopped, "stopped by " + stops.poll()->by);
    std::vector<int> fds = stops.fds();
    fds.push_back(link_->fd());
    if (prepared_.size() < wanted) wait_for(std::move(fds), 1s);
  }
  return {};
}

// The next window of it.  It is complete here: this node has prepared itself before it listens.
Result<> ClusterHead::send_source(int node_rank) {
  auto sender = senders_.find(node_rank);
  if (sender == senders_.end()) {
    MUSTER_TRY_ASSIGN(auto made, link::SourceSender::open(source_));
    sender = senders_.emplace(node_rank, std::move(made)).first;
  }
  MUSTER_TRY_ASSIGN(auto parts, sender->second.next());
  for (protocol::SourcePart& part : parts) {
    const bool is_last = part.path().empty();
    protocol::HeadMessage message;
    *message.mutable_source() = std::move(part);
    link_->send(node_rank, std::move(message));
    if (is_last) senders_.erase(node_rank);
  }
  return {};
}

void ClusterHead::go() {
  has_gone_ = true;
  take_marker_away();
  protocol::HeadMessage message;
  message.mutable_go();
  link_->send_to_all(std::move(message));
}

void ClusterHead::tell_phase(const cluster::RunPhase& run) {
  protocol::HeadMessage message;
  message.mutable_phase()->set_phase(cluster::to_word(run.phase()));
  message.mutable_phase()->set_why(run.reason());
  link_->send_to_all(std::move(message));
}

void ClusterHead::store(plan::RunOutcome& outcome, std::chrono::milliseconds drain_timeout,
                        const exec::FinishLimits& limits) {
  protocol::HeadMessage message;
  message.mutable_node()->set_what(protocol::NodeOrder::STORE);
  link_->send_to_all(std::move(message));
  auto until = std::chrono::steady_clock::now() + drain_timeout;
  if (limits.until) until = std::min(until, *limits.until);
  const auto waits_for = [&](int node, const std::vector<int>& gone) {
    const bool lost = std::binary_search(gone.begin(), gone.end(), node);
    return !lost && !(stored_.contains(node) && link_->replicated(node));
  };
  while (true) {
    while (const auto each = link_->next()) {
      if (each->what != What::kMessage || !each->received.has_stored()) continue;
      const protocol::Stored& stored = each->received.stored();
      stored_.insert(each->node_rank);
      for (const std::string& warning : stored.warnings()) {
        outcome.warnings.push_back(name_of(each->node_rank) + ": " + without_controls(warning));
      }
      if (stored.problem().empty()) continue;
      Error error{error_code_for(stored.exit_code()),
                  name_of(each->node_rank) + ": " + without_controls(stored.problem()), "",
                  std::nullopt};
      outcome.warnings.push_back(error.message);
      fail_if_successful(outcome, error, "run_store");
    }
    std::vector<int> awaited;
    const std::vector<int> gone = link_->missing();  // in order
    for (int node = 1; node < membership_.node_count.value; ++node) {
      if (waits_for(node, gone)) awaited.push_back(node);
    }
    if (awaited.empty()) return give_up_rest(outcome);
    const bool late = std::chrono::steady_clock::now() >= until;
    if (late || limits.hurry()) {
      Error error{ErrorCode::kDelivery,
                  "not all of " + cluster::node_ranks_text(awaited) + " has been stored here" +
                      (late ? " in time" : ""),
                  "it is still on those nodes, which say where", std::nullopt};
      outcome.warnings.push_back(error.message);
      fail_if_successful(outcome, error, "run_store");
      return give_up_rest(outcome);
    }
    wait_for({link_->fd()}, kLook);
  }
}

// What has not come by now does not come: the record says that more is missing.
void ClusterHead::give_up_rest(plan::RunOutcome& outcome) {
  for (int node = 1; node < membership_.node_count.value; ++node) {
    if (link_->replicated(node)) continue;
    Error error{ErrorCode::kDelivery,
                name_of(node) + " was lost before all of it had been stored here", "",
                std::nullopt};
    if (const auto given_up = link_->give_up(node); !given_up) {
      outcome.warnings.push_back(given_up.error().message);
    }
    fail_if_successful(outcome, error, "run_store");
  }
}

void ClusterHead::end(int exit_code, const std::string& summary) {
  if (ended_ || !link_) return;
  ended_ = true;
  protocol::RunEnd end;
  end.set_exit_code(exit_code);
  end.set_summary(summary);
  link_->end(end, kLastWordPatience);
}

std::vector<int> HeadStops::fds() const {
  std::vector<int> all = own_.fds();
  all.push_back(head_.link().fd());
  return all;
}

const std::optional<StopAsked>& HeadStops::poll() {
  if (const auto& own = own_.poll()) return own;
  if (!trouble_) trouble_ = head_.trouble();
  if (trouble_ && !asked_) asked_ = StopAsked{SIGTERM, "another node"};
  return asked_;
}

}  // namespace muster::cli
