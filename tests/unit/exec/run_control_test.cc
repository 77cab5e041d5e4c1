#include "launcher/exec/run_control.h"

#include <poll.h>
#include <unistd.h>

#include <mutex>
#include <optional>
#include <thread>

#include "launcher/exec/control_client.h"
#include "launcher/exec/process_sample.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
using protocol::RankStatus;
using protocol::RunState;

class RunControlTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    auto run = store::RunDirectory::create(scratch() / "runs", "one", 2);
    ASSERT_TRUE(run) << run.error().message;
    run_.emplace(*run);
    auto control = RunControl::start(scratch() / "control.sock", *run, 2, [](const auto&) {});
    ASSERT_TRUE(control) << control.error().message;
    control_ = std::move(*control);
  }

  ControlClient connect() {
    auto client = ControlClient::connect(scratch() / "control.sock");
    EXPECT_TRUE(client);
    return std::move(*client);
  }

  static plan::RankOutcome this_process_as(int rank) {
    plan::RankOutcome outcome;
    outcome.rank = rank;
    outcome.training_pid = ::getpid();
    outcome.started_at = std::chrono::system_clock::now();
    return outcome;
  }

  // The first state for which `wanted` holds.
  template <typename Wanted>
  static RunState next(ControlClient& client, Wanted wanted) {
    while (true) {
      const auto state = client.next_state(20s);
      if (!state || !*state) {
        ADD_FAILURE() << "no such state came";
        return RunState();
      }
      if (wanted(**state)) return **state;
    }
  }

  std::optional<store::RunDirectory> run_;
  std::unique_ptr<RunControl> control_;
};

TEST_F(RunControlTest, AStatusSaysHowRanksFare) {
  control_->phase(RunState::STARTING);
  control_->rank_started(this_process_as(1));
  write("runs/one/ranks/00001/attempt-0/stdout.log", "hello\n");
  ControlClient client = connect();
  const auto status = client.status(20s);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->state().phase(), RunState::STARTING);
  EXPECT_EQ(status->state().running(), 1);
  ASSERT_EQ(status->ranks_size(), 2);
  EXPECT_EQ(status->ranks(0).state(), RankStatus::STARTING);
  const RankStatus& rank = status->ranks(1);
  EXPECT_EQ(rank.state(), RankStatus::RUNNING);
  EXPECT_EQ(rank.pid(), ::getpid());
  EXPECT_GE(rank.process_count(), 1);
  EXPECT_GT(rank.rss_bytes(), 1U << 20);
  EXPECT_EQ(rank.stdout_bytes(), 6U);
  EXPECT_EQ(rank.stderr_bytes(), 0U);
  EXPECT_GT(rank.last_output_at(), status->state().began_at() - 60'000'000'000);
  int threads = 0;
  for (const auto& count : rank.threads()) threads += count.count();
  EXPECT_GE(threads, 2) << "this thread and the control's own";
}

TEST_F(RunControlTest, ItRunsWhenAllHaveStartedAndEndsWhenItIsSaidTo) {
  ControlClient client = connect();
  ASSERT_TRUE(client.watch(20s));
  control_->phase(RunState::STARTING);
  control_->rank_started(this_process_as(0));
  control_->rank_started(this_process_as(1));
  EXPECT_EQ(next(client, [](const RunState& s) { return s.running() == 2; }).phase(),
            RunState::RUNNING);
  control_->stopping("rank 1 exited with 3");
  EXPECT_EQ(
      next(client, [](const RunState& s) { return s.phase() == RunState::STOPPING; }).stopping(),
      "rank 1 exited with 3");
  control_->rank_ended(this_process_as(1), "exited with 3");
  next(client, [](const RunState& s) { return s.running() == 1; });
  control_->end(3);
  EXPECT_EQ(
      next(client, [](const RunState& s) { return s.phase() == RunState::ENDED; }).exit_code(), 3);
  EXPECT_FALSE(client.next_state(20s)) << "the connection ends after the end";
  EXPECT_FALSE(ControlClient::connect(scratch() / "control.sock"));
}

TEST_F(RunControlTest, AWishToStopReachesTheRunWithWhoHadIt) {
  ControlClient client = connect();
  const auto reply = client.cancel(true, 20s);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->accepted());
  pollfd watched{control_->stop_fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&watched, 1, 20'000), 1);
  const auto requests = control_->take_stop_requests();
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_TRUE(requests[0].now);
  EXPECT_TRUE(requests[0].by.starts_with("muster cancel (user ")) << requests[0].by;
  EXPECT_EQ(::poll(&watched, 1, 0), 0) << "taken once";
}

TEST_F(RunControlTest, AnEndedRunCannotBeCancelled) {
  control_->phase(RunState::STORING);
  ControlClient client = connect();
  const auto reply = client.cancel(false, 20s);
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->accepted());
  EXPECT_EQ(reply->note(), "every rank has ended already");
  EXPECT_TRUE(control_->take_stop_requests().empty());
}

TEST_F(RunControlTest, ItEndsAtOnceWhenNobodyAsks) {
  const auto began = std::chrono::steady_clock::now();
  control_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
}

TEST_F(RunControlTest, AWatcherThatNeverReadsCannotHoldTheEnd) {
  ControlClient client = connect();
  ASSERT_TRUE(client.watch(20s));
  for (int change = 0; change < 20'000; ++change) control_->phase(RunState::STARTING);
  control_->end(0);
}

TEST(ProcessTableTest, ATreeIsSummedUpWithoutItsNeighbours) {
  ProcessTable table;
  table.add(1, {0, 'S', 1.0, 100});
  table.add(10, {1, 'S', 2.0, 10});
  table.add(11, {10, 'R', 3.0, 20});
  table.add(12, {11, 'S', 4.0, 30});
  table.add(20, {1, 'S', 5.0, 1000});
  const TreeSample tree = table.tree(10);
  EXPECT_EQ(tree.process_count, 3);
  EXPECT_EQ(tree.cpu_seconds, 9.0);
  EXPECT_EQ(tree.rss_bytes, 60U);
  EXPECT_EQ(table.tree(99).process_count, 0);
}

TEST(ProcessTableTest, ACircleEnds) {
  ProcessTable table;
  table.add(10, {11, 'S', 1.0, 1});
  table.add(11, {10, 'S', 1.0, 1});
  EXPECT_GE(table.tree(10).process_count, 2);
}

TEST(ProcessTableTest, ThisProcessIsThere) {
  const ProcessTable table = ProcessTable::read();
  const ProcessSample* self = table.find(::getpid());
  ASSERT_NE(self, nullptr);
  EXPECT_EQ(self->parent, ::getppid());
  EXPECT_EQ(self->state, 'R');
  EXPECT_GT(self->rss_bytes, 0U);
}

TEST_F(RunControlTest, AStatusOf100000RanksArrives) {
  constexpr int kRanks = 100'000;
  auto large = RunControl::start(scratch() / "large.sock", *run_, kRanks, [](const auto&) {});
  ASSERT_TRUE(large) << large.error().message;
  for (int rank = 0; rank < kRanks; ++rank) {
    plan::RankOutcome outcome = this_process_as(rank);
    outcome.training_pid = 1'000'000'000 + rank;
    (*large)->rank_started(outcome);
    (*large)->rank_ended(outcome, "exited with 127: " + std::string(100, 'x'));
  }
  auto client = ControlClient::connect(scratch() / "large.sock");
  ASSERT_TRUE(client);
  const auto status = client->status(50s);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->ranks_size(), kRanks);
  EXPECT_GT(status->ByteSizeLong(), 10U << 20);
}

plan::LaunchPlan two_nodes() {
  plan::LaunchPlan plan;
  plan.world_size = 2;
  for (const int rank : {0, 1}) {
    plan::NodePlan node;
    node.node_rank = rank;
    node.hostname = rank == 0 ? "node-a" : "node-b";
    node.first_rank = rank;
    node.rank_count = 1;
    plan.nodes.push_back(node);
  }
  return plan;
}

protocol::RanksSampled sampled(std::uint64_t number, int rank, double cpu_seconds) {
  protocol::RanksSampled answer;
  answer.set_number(number);
  RankStatus& one = *answer.add_ranks();
  one.set_rank(rank);
  one.set_pid(::getpid());
  one.set_process_state("D");
  one.set_process_count(3);
  one.set_cpu_seconds(cpu_seconds);
  one.set_sampled_at(77);
  return answer;
}

TEST_F(RunControlTest, ARankOfAnotherNodeIsAsItsNodeSeesIt) {
  control_->several_nodes(
      two_nodes(),
      {[&](std::uint64_t number) { control_->node_sampled(1, sampled(number, 1, 5)); },
       [](int) {
         return cluster::ClockEstimate{std::chrono::nanoseconds(120), std::chrono::nanoseconds(7)};
       }});
  control_->rank_started(this_process_as(0));
  control_->rank_started(this_process_as(1));
  ControlClient client = connect();
  const auto status = client.status(20s);
  ASSERT_TRUE(status) << status.error().message;
  ASSERT_EQ(status->nodes_size(), 2);
  EXPECT_EQ(status->nodes(1).hostname(), "node-b");
  EXPECT_EQ(status->nodes(1).clock_ahead_ns(), 120);
  EXPECT_FALSE(status->nodes(0).has_clock_ahead_ns());
  EXPECT_FALSE(status->nodes(1).unanswered());
  EXPECT_NE(status->ranks(0).process_state(), "D");
  EXPECT_EQ(status->ranks(1).process_state(), "D");
  EXPECT_EQ(status->ranks(1).cpu_seconds(), 5);
  EXPECT_EQ(status->ranks(1).sampled_at(), 77);
}

// Its number is somebody else's process here.
TEST_F(RunControlTest, OfANodeThatDoesNotAnswerNothingIsMadeUp) {
  control_->several_nodes(two_nodes(), {[](std::uint64_t) {}, [](int) { return std::nullopt; }});
  control_->rank_started(this_process_as(1));
  ControlClient client = connect();
  auto status = client.status(20s);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(status->nodes(1).unanswered());
  EXPECT_EQ(status->ranks(1).process_count(), 0);

  control_->node_state(1, protocol::NodeStatus::SUSPECT, "node-b has been silent for 3 s");
  status = client.status(20s);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->nodes(1).state(), protocol::NodeStatus::SUSPECT);
  EXPECT_EQ(status->nodes(1).said(), "node-b has been silent for 3 s");
}

// A node speaks for its own ranks alone, and answers no question that nobody asked.
TEST_F(RunControlTest, ANodeSpeaksForItsOwnRanks) {
  control_->several_nodes(two_nodes(), {[&](std::uint64_t number) {
                                          control_->node_sampled(1, sampled(number, 0, 5));
                                          control_->node_sampled(1, sampled(number, 99, 5));
                                          control_->node_sampled(1, sampled(number, -1, 5));
                                          control_->node_sampled(1, sampled(number + 1, 1, 5));
                                          control_->node_sampled(7, sampled(number, 1, 5));
                                        },
                                        [](int) { return std::nullopt; }});
  control_->rank_started(this_process_as(0));
  control_->rank_started(this_process_as(1));
  ControlClient client = connect();
  const auto status = client.status(20s);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_NE(status->ranks(0).process_state(), "D");
  EXPECT_EQ(status->ranks(1).process_count(), 0);
}

TEST_F(RunControlTest, AMemberAnswersForItsRanks) {
  control_->rank_started(this_process_as(1));
  std::mutex mutex;
  std::optional<protocol::RanksSampled> answer;
  control_->sample_for(42, [&](protocol::RanksSampled sampled) {
    const std::lock_guard lock(mutex);
    answer = std::move(sampled);
  });
  for (int tries = 0; tries < 2000; ++tries) {
    {
      const std::lock_guard lock(mutex);
      if (answer) break;
    }
    std::this_thread::sleep_for(10ms);
  }
  const std::lock_guard lock(mutex);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->number(), 42U);
  ASSERT_EQ(answer->ranks_size(), 1);
  EXPECT_EQ(answer->ranks(0).rank(), 1);
  EXPECT_GT(answer->ranks(0).rss_bytes(), 1U << 20);
  EXPECT_NE(answer->ranks(0).sampled_at(), 0);
}

}  // namespace
}  // namespace muster::exec
