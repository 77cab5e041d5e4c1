#include "launcher/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Words = std::vector<std::string>;

CommandLine parsed(const std::string& command, const Words& words,
                   const CallerEnvironment& environment = {}) {
  auto line = parse_command_line(command, words, environment);
  EXPECT_TRUE(line) << line.error().message;
  return line ? *line : CommandLine{};
}

Error refused(const std::string& command, const Words& words,
              const CallerEnvironment& environment = {}) {
  const auto line = parse_command_line(command, words, environment);
  EXPECT_FALSE(line);
  return line ? Error{} : line.error();
}

Words overrides_of(const CommandLine& line) {
  Words texts;
  for (const config::Override& each : line.overrides) {
    texts.push_back(each.key_path + "=" + each.value + " " + each.origin.text);
  }
  return texts;
}

TEST(CommandLine, SplitsOptionsWordsAndWhatFollowsTheDashes) {
  const CommandLine line =
      parsed("run", {"-n4", "run.yaml", "--console=all", "--", "-n", "2", "--console"});
  EXPECT_THAT(line.words, ElementsAre("run.yaml"));
  EXPECT_THAT(*line.after_dashes, ElementsAre("-n", "2", "--console"));
  EXPECT_EQ(line.text("process-count-per-node"), "4");
  EXPECT_EQ(line.console, report::ConsoleMode::kAll);
}

TEST(CommandLine, HasDefaults) {
  const CommandLine line = parsed("run", {"run.yaml"});
  EXPECT_EQ(line.console, report::ConsoleMode::kRank0);
  EXPECT_EQ(line.runs_dir, "runs");
  EXPECT_FALSE(line.run_id || line.after_dashes || line.stdin_to_rank0 || line.has("json"));
  EXPECT_EQ(line.format, Format::kText);
  EXPECT_TRUE(line.overrides.empty());
}

TEST(CommandLine, KeepsEveryValueOfAnOptionThatRepeatsAndTheLastOfOneThatDoesNot) {
  const CommandLine line =
      parsed("run", {"--set", "a=1,2", "--set", "b=2", "--stdin", "rank0", "--stdin", "none"});
  EXPECT_THAT(line.texts("set"), ElementsAre("a=1,2", "b=2"));
  EXPECT_EQ(line.text("stdin"), "none");
  EXPECT_FALSE(line.stdin_to_rank0);
}

TEST(CommandLine, RefusesWhatItDoesNotKnow) {
  Error error = refused("run", {"--consol", "all"});
  EXPECT_EQ(error.code, ErrorCode::kUsage);
  EXPECT_EQ(error.message, "unknown option --consol for muster run");
  EXPECT_THAT(error.hint, HasSubstr("did you mean \"--console\"?"));
  error = refused("topo", {"--console", "all"});  // another command's
  EXPECT_EQ(error.message, "unknown option --console for muster topo");
  EXPECT_THAT(error.hint, HasSubstr("muster topo --help"));
  error = refused("run", {"--console", "rank1"});
  EXPECT_EQ(error.message, "--console rank1 is not a choice");
  EXPECT_THAT(error.hint, HasSubstr("did you mean \"rank0\"?"));
  EXPECT_THAT(refused("run", {"-n"}).message, HasSubstr("missing"));
}

TEST(CommandLine, TakesOneSetOfChoicesForEachCommand) {
  EXPECT_EQ(parsed("plan", {"--format", "argv"}).format, Format::kArgv);
  EXPECT_EQ(refused("topo", {"--format", "argv"}).hint, "write one of text, json, svg");
}

TEST(CommandLine, TellsConfigSettingsWithTheirOrigins) {
  const CommandLine line = parsed("run", {"-n", "4", "--set", "node_count=1"});
  EXPECT_THAT(overrides_of(line),
              ElementsAre("node_count=1 --set node_count=1", "process_count_per_node=4 -n"));
}

TEST(Variables, GiveWayToFlags) {
  const CallerEnvironment environment{{"MUSTER_CONSOLE", "none"},
                                      {"MUSTER_PROCESS_COUNT_PER_NODE", "2"},
                                      {"MUSTER_RUNS_DIR", "/data/runs"},
                                      {"MUSTER_SET", "a=1\nb=2\n"}};
  CommandLine line =
      parsed("run", {"--console", "all", "--set", "process_count_per_node=3"}, environment);
  EXPECT_EQ(line.console, report::ConsoleMode::kAll);
  EXPECT_EQ(line.runs_dir, "/data/runs");
  // Of two for one key the later counts.
  EXPECT_THAT(overrides_of(line),
              ElementsAre("a=1 MUSTER_SET a=1", "b=2 MUSTER_SET b=2",
                          "process_count_per_node=2 MUSTER_PROCESS_COUNT_PER_NODE",
                          "process_count_per_node=3 --set process_count_per_node=3"));
  EXPECT_EQ(line.overrides[2].origin.kind, config::Origin::Kind::kEnvironment);
  line = parsed("run", {}, environment);
  EXPECT_EQ(line.console, report::ConsoleMode::kNone);
}

TEST(Variables, WithoutAValueAreNotThere) {
  EXPECT_EQ(parsed("run", {}, {{"MUSTER_RUNS_DIR", ""}}).runs_dir, "runs");
}

TEST(Variables, OfAnotherCommandAreNotLookedAt) {
  EXPECT_FALSE(parsed("topo", {}, {{"MUSTER_CONSOLE", "nonsense"}}).has("console"));
}

TEST(Variables, ThatAreWrongAreNamed) {
  EXPECT_EQ(refused("run", {}, {{"MUSTER_CONSOLE", "al"}}).message,
            "MUSTER_CONSOLE=al is not a choice");
  EXPECT_EQ(refused("plan", {}, {{"MUSTER_JSON", "maybe"}}).message,
            "MUSTER_JSON=maybe is neither on nor off");
  EXPECT_EQ(refused("run", {}, {{"MUSTER_RUN_ID", "a/b"}}).message,
            "MUSTER_RUN_ID \"a/b\" cannot name a directory");
  EXPECT_THAT(refused("run", {}, {{"MUSTER_SET", "x"}}).message, HasSubstr("MUSTER_SET x"));
}

TEST(Variables, SwitchOnAndOff) {
  EXPECT_EQ(parsed("plan", {}, {{"MUSTER_JSON", "1"}}).format, Format::kJson);
  EXPECT_EQ(parsed("plan", {}, {{"MUSTER_JSON", "0"}}).format, Format::kText);
}

TEST(Variables, DoNotSwitchOnWhatAFlagSwitchesOff) {
  EXPECT_EQ(parsed("plan", {"--json=false"}, {{"MUSTER_JSON", "1"}}).format, Format::kText);
}

TEST(Variables, GiveWayToAFlagThatExcludesThem) {
  for (const char* format : {"argv", "text"}) {
    const CommandLine line = parsed("plan", {"--format", format}, {{"MUSTER_JSON", "1"}});
    EXPECT_NE(line.format, Format::kJson) << format;
  }
  EXPECT_EQ(parsed("plan", {"--json"}, {{"MUSTER_FORMAT", "argv"}}).format, Format::kJson);
  CommandLine line = parsed("run", {"--detach"}, {{"MUSTER_STDIN", "rank0"}});
  EXPECT_TRUE(line.detach && !line.stdin_to_rank0);
  line = parsed("run", {"--stdin", "rank0"}, {{"MUSTER_DETACH", "1"}});
  EXPECT_TRUE(!line.detach && line.stdin_to_rank0);
  EXPECT_TRUE(parsed("run", {"--stdin", "none"}, {{"MUSTER_DETACH", "1"}}).detach);
}

TEST(Variables, ThatAFlagOverrulesAreNotChecked) {
  EXPECT_EQ(parsed("run", {"--console", "none"}, {{"MUSTER_CONSOLE", "bogus"}}).console,
            report::ConsoleMode::kNone);
  EXPECT_TRUE(
      parsed("run", {"--oversubscribe"}, {{"MUSTER_OVERSUBSCRIBE", "bogus"}}).has("oversubscribe"));
  EXPECT_THAT(overrides_of(parsed("run", {"--master-port", "0"}, {{"MUSTER_MASTER_PORT", "1"}})),
              IsEmpty());
  EXPECT_EQ(
      parsed("run", {"--master-port", "1"}, {{"MUSTER_MASTER_PORT", "x"}}).text("master-port"),
      "1");
  EXPECT_EQ(refused("run", {}, {{"MUSTER_MASTER_PORT", "x"}}).message,
            "MUSTER_MASTER_PORT=x: it is no port");
}

TEST(CommandLine, RefusesANameThatStandsForTheNewestRun) {
  EXPECT_EQ(refused("run", {"--run-id", "latest"}).message,
            "--run-id latest: the word stands for the newest run");
  EXPECT_EQ(refused("run", {}, {{"MUSTER_RUN_ID", "latest"}}).message,
            "MUSTER_RUN_ID=latest: the word stands for the newest run");
}

TEST(CommandLine, RefusesWhatIsNoHost) {
  for (const char* text : {"", " ", "a b", "a\n"}) {
    EXPECT_EQ(refused("run", {"--master-addr", text}).message,
              std::string("--master-addr \"") + text + "\" is no host");
  }
}

TEST(Variables, ThatLookMisspeltAreToldOnceAndOthersAreNot) {
  const CallerEnvironment environment{{"MUSTER_BACKEDN", "mpi"},
                                      {"MUSTER_RUNTIMEDIR", "/x"},
                                      {"MUSTER_ROUNDS", "5"},
                                      {"MUSTER_BIN_DIR", "bin"},
                                      {"MUSTER_CONSOLE", "all"},
                                      {"MUSTER_UPDATE_GOLDEN", "1"},
                                      {"MUSTER_UPDATE_DOCS", "1"},
                                      {"MUSTERD", "1"},
                                      {"MUSTER_", "1"},
                                      {"MUSTER_OS_RELEASE", "file"},
                                      {"MUSTER_TEST_PROGRAMS_DIR", "programs"}};
  EXPECT_THAT(
      parsed("topo", {}, environment).warnings,
      ElementsAre("MUSTER_BACKEDN is not a variable of Muster's; did you mean MUSTER_BACKEND?",
                  "MUSTER_RUNTIMEDIR is not a variable of Muster's; did you mean "
                  "MUSTER_RUNTIME_DIR?"));
  CallerEnvironment of_rank = environment;
  of_rank["MUSTER_METRICS"] = "/fifo";
  EXPECT_THAT(parsed("topo", {}, of_rank).warnings, IsEmpty());
}

TEST(Variables, WithAnotherLaunchersNamesAreToldTheRightOne) {
  EXPECT_THAT(parsed("topo", {}, {{"MUSTER_NPROC_PER_NODE", "2"}, {"MUSTER_NP", "2"}}).warnings,
              ElementsAre("MUSTER_NP is not a variable of Muster's; it is called "
                          "MUSTER_PROCESS_COUNT_PER_NODE",
                          "MUSTER_NPROC_PER_NODE is not a variable of Muster's; it is called "
                          "MUSTER_PROCESS_COUNT_PER_NODE"));
  EXPECT_THAT(parsed("topo", {}, {{"MUSTER_NNODES", "2"}}).warnings,
              ElementsAre("MUSTER_NNODES is not a variable of Muster's; it is called "
                          "MUSTER_NODES"));
}

TEST(Variables, OfARankNameTheRunAroundItAndNoNewOne) {
  EXPECT_EQ(parsed("run", {}, {{"MUSTER_RUN_ID", "a"}}).run_id, "a");
  EXPECT_EQ(parsed("run", {}, {{"MUSTER_RUN_ID", "a"}, {"MUSTER_METRICS", "/m"}}).run_id,
            std::nullopt);
}

}  // namespace
}  // namespace muster::cli
