#include "launcher/cli/log_request.h"

#include "tests/support/scratch.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;

const plan::WallTime kNow(1'700'000'000s);  // 2023-11-14T22:13:20Z

Result<LogRequest> request(const std::vector<std::string>& words,
                           const CallerEnvironment& environment = {}) {
  MUSTER_TRY_ASSIGN(const CommandLine line, parse_command_line("logs", words, environment));
  return read_log_request(line, kNow);
}

std::string error_of(const std::vector<std::string>& words,
                     const CallerEnvironment& environment = {}) {
  const auto made = request(words, environment);
  return made ? "no error" : made.error().message;
}

class LogSourcesTest : public test::ScratchTest {
 protected:
  LogSourcesTest() {
    view_.run_id = "r1";
    view_.world_size = 4;
    view_.ended_at = kNow;
    view_.attempts.resize(1);
  }

  // "[0] ranks/00000/attempt-0/stdout.log", …; or the error.
  std::vector<std::string> sources(const std::vector<std::string>& words) {
    const auto made = request(words);
    if (!made) return {made.error().message};
    const auto found = log_sources(*made, store::RunDirectory(scratch()), view_);
    if (!found) return {found.error().message};
    std::vector<std::string> texts;
    for (const report::LogSource& source : *found) {
      texts.push_back(source.prefix + source.file.lexically_relative(scratch()).string() +
                      (source.to_stderr ? " 2" : ""));
    }
    return texts;
  }

  using Texts = std::vector<std::string>;
  report::RunView view_;
};

TEST(LogRequest, RankListsAreNumbersAndRanges) {
  EXPECT_EQ(*parse_rank_list("3"), std::vector<int>{3});
  EXPECT_EQ(*parse_rank_list("5,0,2-4,3"), (std::vector<int>{0, 2, 3, 4, 5}));
  EXPECT_EQ(*parse_rank_list(" 0, 1 ,3"), (std::vector<int>{0, 1, 3}));
  for (const char* text :
       {"", ",", "1,", "a", "-1", "3-2", "1-", "1-2-3", "1 2", "0x1", "100000", "0-99999999999"}) {
    EXPECT_FALSE(parse_rank_list(text)) << text;
  }
}

TEST(LogRequest, StreamsHaveShortNames) {
  using Kinds = std::vector<LogKind>;
  EXPECT_EQ(request({"--stream", "err"})->kinds, Kinds{LogKind::kStderr});
  EXPECT_EQ(request({"--stream", "out, err"})->kinds, (Kinds{LogKind::kStdout, LogKind::kStderr}));
  EXPECT_EQ(request({"--stream", "stdout,out"})->kinds, Kinds{LogKind::kStdout});
}

TEST(LogRequest, TimesAreMomentsOrSpansBeforeNow) {
  EXPECT_EQ(request({"--since", "10m"})->options.since, kNow - 10min);
  EXPECT_EQ(request({"--since", "2023-11-14T22:13:19Z"})->options.since, kNow - 1s);
  EXPECT_EQ(request({"--until", "1h30m"})->options.until, kNow - 90min);
  EXPECT_EQ(request({"--since", "2023-11-14"})->options.since, kNow - 22h - 13min - 20s);
  EXPECT_EQ(error_of({"--since", "noon"}), "--since noon is neither a time nor a span");
}

TEST(LogRequest, WhatExcludesEachOtherIsTold) {
  EXPECT_EQ(error_of({"--raw", "--merge"}), "--raw and --merge exclude each other");
  EXPECT_EQ(error_of({"--raw", "-t"}), "--raw and --timestamps exclude each other");
  EXPECT_EQ(error_of({"-f", "--until", "1m"}), "--follow and --until exclude each other");
  EXPECT_EQ(error_of({"--since", "1m", "--until", "2m"}), "--until is before --since");
  EXPECT_EQ(error_of({"--tail", "-1"}), "--tail -1 is no number from 0 to 1000000000");
  EXPECT_EQ(error_of({"--stream", "stdot"}), "--stream stdot: there is no stream \"stdot\"");
}

TEST(LogRequest, WrongVariablesAreNamed) {
  EXPECT_EQ(error_of({}, {{"MUSTER_SINCE", "noon"}}),
            "MUSTER_SINCE=noon is neither a time nor a span");
  EXPECT_EQ(error_of({}, {{"MUSTER_UNTIL", "noon"}}),
            "MUSTER_UNTIL=noon is neither a time nor a span");
  EXPECT_EQ(error_of({}, {{"MUSTER_TAIL", "x"}}),
            "MUSTER_TAIL=x is no number from 0 to 1000000000");
  EXPECT_EQ(error_of({}, {{"MUSTER_ATTEMPT", "x"}}),
            "MUSTER_ATTEMPT=x is no number from 0 to 100000");
  EXPECT_EQ(error_of({}, {{"MUSTER_STREAM", "x"}}), "MUSTER_STREAM=x: there is no stream \"x\"");
  EXPECT_EQ(error_of({}, {{"MUSTER_RANK", "x"}}), "MUSTER_RANK: \"x\" is no list of ranks");
  EXPECT_EQ(error_of({"--rank", "x"}), "--rank: \"x\" is no list of ranks");
}

TEST(LogRequest, OfTwoThatExcludeEachOtherTheTypedOneHolds) {
  const CallerEnvironment all{{"MUSTER_TIMESTAMPS", "1"}, {"MUSTER_MERGE", "1"}};
  const auto raw = request({"--raw"}, all);
  ASSERT_TRUE(raw) << raw.error().message;
  EXPECT_TRUE(raw->options.raw);
  EXPECT_FALSE(raw->options.merge || raw->options.timestamps);
  EXPECT_TRUE(request({"--raw=false"}, all)->options.merge);
  EXPECT_FALSE(request({"--merge"}, {{"MUSTER_RAW", "1"}})->options.raw);
  EXPECT_FALSE(request({"--until", "1m"}, {{"MUSTER_FOLLOW", "1"}})->follow);
  EXPECT_FALSE(request({"-f"}, {{"MUSTER_UNTIL", "1m"}})->options.until);
  EXPECT_EQ(error_of({}, {{"MUSTER_RAW", "1"}, {"MUSTER_MERGE", "1"}}),
            "MUSTER_RAW and MUSTER_MERGE exclude each other");
  EXPECT_EQ(error_of({}, {{"MUSTER_FOLLOW", "1"}, {"MUSTER_UNTIL", "1m"}}),
            "MUSTER_FOLLOW and MUSTER_UNTIL exclude each other");
  EXPECT_EQ(error_of({"--since", "1m"}, {{"MUSTER_UNTIL", "2m"}}),
            "MUSTER_UNTIL is before --since");
}

TEST_F(LogSourcesTest, AllRanksAndBothStreamsByDefault) {
  view_.world_size = 2;
  EXPECT_EQ(
      sources({}),
      (Texts{"[0] ranks/00000/attempt-0/stdout.log", "[0] ranks/00000/attempt-0/stderr.log 2",
             "[1] ranks/00001/attempt-0/stdout.log", "[1] ranks/00001/attempt-0/stderr.log 2"}));
  EXPECT_EQ(sources({"--merge", "--no-prefix", "--rank", "1"}),
            (Texts{"ranks/00001/attempt-0/stdout.log", "ranks/00001/attempt-0/stderr.log"}));
}

TEST_F(LogSourcesTest, OneRankNeedsNoPrefix) {
  EXPECT_EQ(sources({"--rank", "3", "--stream", "stdout"}),
            Texts{"ranks/00003/attempt-0/stdout.log"});
  EXPECT_EQ(sources({"--rank", "0", "--stream", "metrics,events"}),
            (Texts{"[0] ranks/00000/attempt-0/metrics.jsonl", "[events] events.jsonl"}));
}

TEST_F(LogSourcesTest, WhatTheRunDoesNotHaveIsTold) {
  EXPECT_EQ(sources({"--rank", "2-4"}), Texts{"run r1 has no rank 4"});
  EXPECT_EQ(sources({"--attempt", "1"}), Texts{"run r1 has no attempt 1"});
  EXPECT_EQ(sources({"--stream", "mpirun"}), Texts{"run r1 has no mpirun.log"});
  EXPECT_EQ(sources({"--stream", "events,mpirun"}), Texts{"events.jsonl"}) << "beside others";
  view_.ended_at.reset();
  EXPECT_EQ(sources({"--stream", "mpirun"}), Texts{"mpirun.log"}) << "it may come";
}

TEST_F(LogSourcesTest, TheLauncherHasItsLogs) {
  write("launcher/node-a.log", "");
  EXPECT_EQ(sources({"--stream", "launcher"}), Texts{"launcher/node-a.log"});
  write("launcher/agents.log", "");
  EXPECT_EQ(sources({"--stream", "launcher"}),
            (Texts{"[agents] launcher/agents.log", "[node-a] launcher/node-a.log"}));
}

}  // namespace
}  // namespace muster::cli
