#include "launcher/report/status_text.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace muster::report {
namespace {

using protocol::RankStatus;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1'800'000'000 * kSecond;

RunView view() {
  RunView run;
  run.run_id = "r1";
  run.status = "running";
  run.hostnames = {"node-a"};
  run.launcher.pid = 4000;
  run.argv = {"python3", "train.py", "a b"};
  run.world_size = 2;
  return run;
}

// Ranks that run, said something a second ago, and use half a core.
LiveStatus live(int ranks) {
  LiveStatus status;
  auto& state = *status.now.mutable_state();
  state.set_phase(protocol::RunState::RUNNING);
  state.set_world_size(ranks);
  state.set_started(ranks);
  state.set_running(ranks);
  state.set_began_at(kNow - 100 * kSecond);
  state.set_phase_since(kNow - 90 * kSecond);
  status.now.set_sampled_at(kNow);
  for (int rank = 0; rank < ranks; ++rank) {
    RankStatus& one = *status.now.add_ranks();
    one.set_rank(rank);
    one.set_state(RankStatus::RUNNING);
    one.set_pid(5000 + rank);
    one.set_started_at(kNow - 3600 * kSecond);
    one.set_process_state("S");
    auto* threads = one.add_threads();
    threads->set_state("S");
    threads->set_count(3);
    one.set_process_count(1);
    one.set_cpu_seconds(10);
    one.set_rss_bytes(1536 << 10);
    one.set_stdout_bytes(2048);
    one.set_last_output_at(kNow - kSecond);
    status.last_lines.push_back("line of " + std::to_string(rank));
  }
  status.before = status.now;
  status.before->set_sampled_at(kNow - kSecond);
  for (auto& rank : *status.before->mutable_ranks()) rank.set_cpu_seconds(9.5);
  return status;
}

std::vector<std::string> lines_of(const std::string& text) {
  return split(text, '\n');
}

TEST(StatusTextTest, SaysWhatTheRunAndItsRanksDo) {
  EXPECT_EQ(
      status_text(view(), live(2), {"runs/r1"}),
      "run r1 on node-a: running 2/2 for 1 min 30 s\n"
      "  since      2027-01-15T07:58:20.000000Z, launcher process 4000\n"
      "  command    python3 train.py 'a b'\n"
      "  directory  runs/r1\n"
      "\n"
      "  rank  state     pid  CPU   memory  threads   stdout  stderr  last output  last line\n"
      "     0  running  5000  50%  1.5 MiB  3        2.0 KiB     0 B  1.0 s ago    line of 0\n"
      "     1  running  5001  50%  1.5 MiB  3        2.0 KiB     0 B  1.0 s ago    line of 1\n");
}

TEST(StatusTextTest, ARankThatIsStoppedOrStuckOrSilentIsMarked) {
  LiveStatus status = live(5);
  status.now.mutable_ranks(1)->set_process_state("T");
  status.now.mutable_ranks(2)->set_process_state("D");
  status.before->mutable_ranks(2)->set_process_state("D");
  status.now.mutable_ranks(3)->set_process_state("D");  // in this moment only
  status.now.mutable_ranks(4)->set_last_output_at(kNow - 600 * kSecond);
  EXPECT_EQ(marks(status), (std::vector<std::string>{"", "stopped", "stuck", "", "silent"}));
  const auto lines = lines_of(status_text(view(), status, {}));
  EXPECT_TRUE(lines[7].starts_with("!     1  stopped (T)")) << lines[7];
  EXPECT_TRUE(lines[8].starts_with("!     2  stuck (D)")) << lines[8];
  EXPECT_TRUE(lines[10].starts_with("!     4  running")) << lines[10];
  EXPECT_NE(lines[10].find("10 min 00 s ago"), std::string::npos) << lines[10];
}

TEST(StatusTextTest, WhereMostAreSilentSilenceIsTheRuleUnlessAllAre) {
  LiveStatus status = live(4);
  for (int rank = 1; rank < 4; ++rank) {
    status.now.mutable_ranks(rank)->set_last_output_at(0);
  }
  EXPECT_EQ(marks(status), (std::vector<std::string>{"", "", "", ""}));
  status.now.mutable_ranks(0)->set_last_output_at(kNow - 600 * kSecond);
  EXPECT_EQ(marks(status), std::vector<std::string>(4, "silent"));
}

TEST(StatusTextTest, OfManyRanksTheRemarkableOnesComeFirst) {
  LiveStatus status = live(64);
  status.now.mutable_ranks(60)->set_process_state("T");
  status.now.mutable_ranks(50)->set_state(RankStatus::ENDED);
  status.now.mutable_ranks(50)->set_ended_how("killed by SIGKILL (signal 9)");
  const auto lines = lines_of(status_text(view(), status, {}));
  ASSERT_EQ(lines.size(), 6U + 31 + 1 + 1);
  EXPECT_NE(lines[6].find(" 50  killed by SIGKILL (signal 9)"), std::string::npos) << lines[6];
  EXPECT_NE(lines[7].find(" 60  stopped (T)"), std::string::npos) << lines[7];
  EXPECT_NE(lines[8].find("  0  running"), std::string::npos) << lines[8];
  EXPECT_EQ(lines[37], "and 33 more: 33 running, 50-50% CPU (--json shows all)");
}

TEST(StatusTextTest, OnATerminalItFits) {
  StatusContext context;
  context.columns = 40;
  context.rows = 20;
  for (const std::string& line : lines_of(status_text(view(), live(64), context))) {
    EXPECT_LE(line.size(), 40U + 2) << line;  // "…" has three bytes
  }
  EXPECT_LE(lines_of(status_text(view(), live(64), context)).size(), 20U);
}

TEST(StatusTextTest, EveryPhaseHasItsWords) {
  protocol::RunState state;
  state.set_world_size(4);
  state.set_started(3);
  state.set_running(2);
  state.set_stopping("rank 1 exited with 7");
  state.set_phase_since(kNow);
  const plan::WallTime now{
      std::chrono::duration_cast<plan::WallTime::duration>(std::chrono::nanoseconds(kNow))};
  const auto text = [&](protocol::RunState::Phase phase) {
    state.set_phase(phase);
    return phase_text(state, now + std::chrono::seconds(2));
  };
  EXPECT_EQ(text(protocol::RunState::PREPARING),
            "preparing for 2.0 s: source, packages and data are made ready");
  EXPECT_EQ(text(protocol::RunState::STARTING), "starting 3/4 for 2.0 s");
  EXPECT_EQ(text(protocol::RunState::RUNNING), "running 2/4 for 2.0 s");
  EXPECT_EQ(text(protocol::RunState::STOPPING), "stopping 2/4 (rank 1 exited with 7) for 2.0 s");
  EXPECT_EQ(text(protocol::RunState::DRAINING),
            "draining for 2.0 s: every rank has ended, their last output is read");
  EXPECT_EQ(text(protocol::RunState::STORING),
            "storing for 2.0 s: every rank has ended, its outputs are stored");
}

TEST(StatusTextTest, TheStatusLineOfATerminal) {
  protocol::RunState state;
  state.set_world_size(4);
  state.set_started(3);
  state.set_running(2);
  EXPECT_EQ(status_line_text(state, std::chrono::milliseconds(2100)),
            "2/4 ranks running, 1 starting, 2.1 s");
  state.set_stopping("SIGTERM");
  EXPECT_EQ(status_line_text(state, std::chrono::milliseconds(2100)),
            "2/4 ranks running, 1 starting, stopping (SIGTERM), 2.1 s");
}

TEST(StatusTextTest, AnEndedOrLostRunIsToldFromItsRecord) {
  RunState state;
  state.view = view();
  state.view.status = "failed";
  state.view.exit_code = 7;
  state.view.origin = "training";
  state.view.first_failure = FailureView{1, "exited", 7, "training", "exited with 7"};
  state.view.started_at = plan::WallTime(std::chrono::seconds(1000));
  state.view.ended_at = plan::WallTime(std::chrono::seconds(1012));
  state.phase = RunPhase::kEnded;
  EXPECT_EQ(lines_of(status_text(state, {"runs/r1"}))[0],
            "run r1 on node-a: failed after 12.0 s: rank 1 exited with 7 (exit code 7, origin: "
            "training)");
  state.phase = RunPhase::kLost;
  EXPECT_EQ(lines_of(status_text(state, {"runs/r1"}))[0],
            "run r1 on node-a: lost: its launcher (process 4000) is gone and did not write how it "
            "ended; its ranks ended with it");
}

TEST(StatusTextTest, JsonHasEveryRankAndNeverThrows) {
  LiveStatus status = live(64);
  status.now.mutable_ranks(3)->set_ended_how("bytes \xff");
  status.last_lines[4] = "\xc3";
  const std::string text = status_json(view(), status, {"runs/r1"}, true);
  EXPECT_EQ(lines_of(text).size(), 2U) << "one line";
  EXPECT_NE(text.find("\"rank\":63,\"state\":\"running\""), std::string::npos);
  EXPECT_NE(text.find("\"cpu_percent\":50.0"), std::string::npos);
  EXPECT_NE(text.find("\"threads\":{\"S\":3}"), std::string::npos);
}

LiveStatus live_on_two_nodes() {
  LiveStatus status = live(2);
  for (const int rank : {0, 1}) {
    auto& node = *status.now.add_nodes();
    node.set_node_rank(rank);
    node.set_hostname(rank == 0 ? "node-a" : "node-b");
    node.set_first_rank(rank);
    node.set_rank_count(1);
    node.set_since(kNow - 5 * kSecond);
    status.now.mutable_ranks(rank)->set_node_rank(rank);
  }
  return status;
}

TEST(StatusText, OfSeveralNodesEachRankHasItsNode) {
  const LiveStatus status = live_on_two_nodes();
  const std::string text = status_text(view(), status, {"runs/r1"});
  EXPECT_NE(text.find("  nodes      2 of 2 are here\n"), std::string::npos) << text;
  EXPECT_NE(text.find("0  node-a  running"), std::string::npos) << text;
  EXPECT_NE(text.find("1  node-b  running"), std::string::npos) << text;
}

TEST(StatusText, ASilentNodeIsNamedWithItsRanks) {
  LiveStatus status = live_on_two_nodes();
  status.now.mutable_nodes(1)->set_state(protocol::NodeStatus::SUSPECT);
  status.now.mutable_nodes(1)->set_said("node-b (node rank 1) has been silent for 3 s");
  std::string text = status_text(view(), status, {"runs/r1"});
  EXPECT_NE(
      text.find(
          "  nodes      1 of 2 are here\n"
          "! node       node-b (node rank 1) has been silent for 3 s (rank 1; told 5.0 s ago)\n"),
      std::string::npos)
      << text;
  const std::string json = status_json(view(), status, {"runs/r1"}, true);
  EXPECT_NE(json.find(R"("state":"suspect","said":"node-b)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("node_rank":1,"state":"running")"), std::string::npos) << json;

  status.now.mutable_nodes(1)->clear_state();
  status.now.mutable_nodes(1)->set_unanswered(true);
  text = status_text(view(), status, {"runs/r1"});
  EXPECT_NE(text.find("! node       node-b (node rank 1) does not say how its ranks fare"),
            std::string::npos)
      << text;
}

// Its clock is a minute ahead, and yet its share of a CPU is one of a second.
TEST(StatusText, SharesAreByTheClockOfTheRanksNode) {
  LiveStatus status = live_on_two_nodes();
  status.now.mutable_ranks(1)->set_sampled_at(kNow + 60 * kSecond);
  status.before->mutable_ranks(1)->set_sampled_at(kNow + 59 * kSecond);
  const std::string json = status_json(view(), status, {"runs/r1"}, true);
  EXPECT_EQ(json.find(R"("cpu_percent":null)"), std::string::npos) << json;
  EXPECT_NE(status_text(view(), status, {"runs/r1"}).find("50%"), std::string::npos);
}

}  // namespace
}  // namespace muster::report
