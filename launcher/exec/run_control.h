// Answers for a run while it goes on: where it stands, how its ranks fare; and takes the wish that
// it end.
//
// A thread of its own serves the control socket, from before the first rank to after the last
// record, so that a question never waits for the run (which may copy outputs for minutes) and the
// run never for a question.  The two share a board of facts, and one descriptor for wishes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/event_loop.h"
#include "base/fd.h"
#include "cluster.pb.h"
#include "collector/store/run_directory.h"
#include "launcher/cluster/head.h"
#include "launcher/exec/control_server.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"
#include "muster/result.h"

namespace muster::exec {

// A wish that the run end, from somebody who may have it.
struct StopRequest {
  bool now = false;  // without the grace
  std::string by;    // "muster cancel (user anna)"
};

// The nodes of a run whose ranks are looked at by other launchers.
struct OtherNodes {
  // Asks all of them how their ranks fare; RunControl::node_sampled() gets the answers.
  std::function<void(std::uint64_t number)> ask;
  // How far that node's clock is ahead of this one's; nullopt: not known.
  std::function<std::optional<cluster::ClockEstimate>(int node_rank)> clock_of;
};

class RunControl : private ControlHandler {
 public:
  using Phase = protocol::RunState::Phase;

  // Listens and answers from now on.  `notice` is called on the thread of the control.
  static Result<std::unique_ptr<RunControl>> start(const std::filesystem::path& socket,
                                                   store::RunDirectory run_directory,
                                                   int world_size,
                                                   std::function<void(const std::string&)> notice);
  ~RunControl() override;

  // ---- what happens, told by the run's thread ----

  void phase(Phase phase);
  void rank_started(const plan::RankOutcome& rank);
  void rank_ended(const plan::RankOutcome& rank, const std::string& how);
  void placement_differs(int rank, const std::vector<std::string>& differences);
  void stopping(const std::string& why);
  void collector(const protocol::CollectorState& state);  // from any thread
  void add_collector(protocol::RunState& state) const;
  // Of several nodes, before any rank has started.  `others` is used on the thread of the control.
  void several_nodes(const plan::LaunchPlan& plan, OtherNodes others);
  void node_state(int node_rank, protocol::NodeStatus::State state, const std::string& said);
  void node_sampled(int node_rank, const protocol::RanksSampled& sampled);
  // Looks at the ranks of this node, and answers on the thread of the control.
  void sample_for(std::uint64_t number, std::function<void(protocol::RanksSampled)> answer);
  // The record is complete: tells it to everybody who watches, then answers no more.
  void end(int exit_code);

  // ---- wishes, for the run's thread ----

  int stop_fd() const { return stop_event_.get(); }  // readable when there is one
  std::vector<StopRequest> take_stop_requests();

 private:
  RunControl(store::RunDirectory run_directory, int world_size,
             std::function<void(const std::string&)> notice);
  void woken();
  void finish();
  void changed(std::unique_lock<std::mutex> lock);

  protocol::RunStatus run_status() override;
  protocol::RunState run_state() override;
  protocol::CancelReply cancel(bool now, const PeerCredentials& by) override;
  void control_notice(const std::string& text) override { notice_(text); }
  protocol::RunStatus sample();
  void ask_other_nodes();
  void await_other_nodes(protocol::RunStatus& status);
  void answer_samples();

  const store::RunDirectory run_directory_;
  const std::function<void(const std::string&)> notice_;
  Fd stop_event_;
  Fd changed_event_;

  mutable std::mutex mutex_;  // guards what follows
  protocol::RunStatus board_;
  std::vector<StopRequest> stop_requests_;
  bool ending_ = false;
  struct SampleRequest {
    std::uint64_t number = 0;
    std::function<void(protocol::RanksSampled)> answer;
  };
  std::vector<SampleRequest> sample_requests_;
  std::optional<OtherNodes> others_;
  std::uint64_t asked_ = 0;                           // the last question to the other nodes
  std::vector<std::uint64_t> answered_;               // by node rank
  std::map<int, protocol::RankStatus> others_ranks_;  // as their nodes saw them last
  std::condition_variable sampled_;

  // The thread's own.
  EventLoop loop_;
  std::unique_ptr<ControlServer> server_;
  EventLoop::Watch changed_watch_;
  EventLoop::Watch finish_watch_;
  std::optional<protocol::RunStatus> last_sample_;
  EventLoop::Clock::time_point sampled_at_;
  EventLoop::Clock::time_point finish_by_;

  std::thread thread_;
};

}  // namespace muster::exec
