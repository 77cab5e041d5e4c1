// The head's side of a run of several nodes, around its execution: waits for the nodes, agrees with
// them on networks and placement, has them prepare and store, and tells them the end.
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/preparation.h"
#include "base/signals.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/load_run.h"
#include "launcher/cluster/membership.h"
#include "launcher/cluster/run_phase.h"
#include "launcher/exec/follower.h"
#include "launcher/exec/run_control.h"
#include "launcher/link/head_link.h"
#include "launcher/link/source_travel.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::cli {

class ClusterHead {
 public:
  // Waits until all nodes are here and have reached each other; then `run` has all inventories and
  // the network.  Errors: kTimeout: nodes are missing, by name; kStopped: `stopped_by` is the
  // signal; what the nodes differ in; who cannot reach whom.
  static Result<std::unique_ptr<ClusterHead>> meet(const CommandLine& line,
                                                   const cluster::Membership& membership,
                                                   LoadedRun& run, const SignalFd& signals,
                                                   std::optional<int>& stopped_by);
  ~ClusterHead();

  link::HeadLink& link() { return *link_; }
  // Where lines about connections go from now on, from any thread; until then only refusals are
  // said, on stderr.  Null: nowhere.
  void log_to(std::function<void(const std::string&)> log);
  // To look at the ranks of all nodes.
  exec::OtherNodes other_nodes();
  // Every node is told its part, and begins to prepare.
  Result<> send_parts(const plan::LaunchPlan& plan, const plan::StartValues& start);
  // While this node prepares itself: what another one has said that keeps the run from beginning.
  // What else has come is kept for await_prepared().
  std::optional<Error> trouble();
  // Waits until every node is prepared.  Errors: a node's own, with its name; kStopped.
  Result<> await_prepared(StopSource& stops);
  void go();
  // Whether ranks were told to start: before that nobody has anything to store.
  bool has_gone() const { return has_gone_; }
  void tell_phase(const cluster::RunPhase& run);
  // After the ranks: every living node finishes its outputs, and all of it is stored here.
  void store(plan::RunOutcome& outcome, std::chrono::milliseconds drain_timeout,
             const exec::FinishLimits& limits);
  // Every launcher ends with this code.
  void end(int exit_code, const std::string& summary);

 private:
  ClusterHead(const CommandLine& line, const cluster::Membership& membership)
      : line_(line), membership_(membership) {}
  Result<> open(const LoadedRun& run);
  void give_up_rest(plan::RunOutcome& outcome);
  Result<> await_all(const SignalFd& signals);
  Result<> await_proofs(const SignalFd& signals);
  Result<> use_inventories(LoadedRun& run);
  // In the directory that ranks work in: nodes that see it have the same one.
  void put_marker(const plan::LaunchPlan& plan, const std::string& run_id);
  void take_marker_away();
  Result<> send_source(int node_rank);
  std::optional<cluster::HeadAction> next();
  std::optional<Error> trouble_in(const cluster::HeadAction& action) const;
  void say(const std::string& text) const;
  std::string name_of(int node_rank) const;
  Error lost_error(const std::string& text) const;

  const CommandLine& line_;
  const cluster::Membership& membership_;
  std::unique_ptr<link::HeadLink> link_;
  std::vector<protocol::Join> joins_;  // by node rank
  struct Log {
    std::mutex mutex;
    std::function<void(const std::string&)> to;
  };
  std::shared_ptr<Log> log_ = std::make_shared<Log>();
  std::string source_;                         // the copy that ranks of this node run in
  std::map<int, link::SourceSender> senders_;  // to nodes that lack it
  std::deque<cluster::HeadAction> early_;      // that came while this node prepared itself
  std::set<int> prepared_;
  std::set<int> stored_;
  std::set<int> lost_;
  std::filesystem::path marker_;
  std::optional<int> stopped_by_;  // while nodes were waited for
  bool has_gone_ = false;
  bool ended_ = false;
};

// Who ends the head's own preparation: its stops, and any node that is in trouble.
class HeadStops final : public StopSource {
 public:
  HeadStops(StopSource& own, ClusterHead& head) : own_(own), head_(head) {}

  std::vector<int> fds() const override;
  const std::optional<StopAsked>& poll() override;
  const std::optional<Error>& trouble() const { return trouble_; }

 private:
  StopSource& own_;
  ClusterHead& head_;
  std::optional<Error> trouble_;
  std::optional<StopAsked> asked_;
};

}  // namespace muster::cli
