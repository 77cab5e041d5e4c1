#include <gmock/gmock.h>

#include <chrono>

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(ReadConfig, ReadsEveryKeyOfTheFormat) {
  const RunConfig config = config_of(test_file("full.yaml"));
  EXPECT_EQ(config.file_name, "run.yaml");
  EXPECT_EQ(config.config_directory, "/configs");
  EXPECT_EQ(config.source_directory.value, "./src");
  EXPECT_EQ(std::get<EntryScript>(config.run.value).path, "train.py");
  EXPECT_EQ(config.node_count.value, 1);
  EXPECT_EQ(config.process_count_per_node.value, 4);
  EXPECT_EQ(config.distributed_backend.value, Backend::kMpi);
  EXPECT_EQ(config.python_interpreter.value, "python3.11");
  EXPECT_EQ(config.resources.gpus_per_process.value, 0);
  EXPECT_EQ(config.resources.cores_per_process.value, std::nullopt);
  EXPECT_EQ(config.resources.oversubscribe.value, Oversubscribe::kNever);
  EXPECT_EQ(config.limits.max_run_duration.value, 86400s);
  EXPECT_EQ(config.limits.join_timeout.value, 10min);
  EXPECT_EQ(config.limits.stop_grace_period.value, 45s);
  EXPECT_EQ(config.limits.failure_grace_period.value, 500ms);
  EXPECT_EQ(config.limits.drain_timeout.value, 1h);
}

TEST(ReadConfig, KeepsTheTextOfScriptParamsInOrder) {
  EXPECT_THAT(
      script_arguments(config_of(test_file("full.yaml"))),
      ElementsAre("--regularization", "1.0", "--data-folder", "/data/digits", "--shuffle", "yes",
                  "--name", "a: b", "--layers", "64", "32.0", "--verbose", "--dry-run"));
}

TEST(ReadConfig, TellsABareFlagFromAnEmptyValue) {
  const RunConfig config = config_of(with_line("script_params: {--verbose: , --tag: ''}"));
  ASSERT_THAT(config.script_params, SizeIs(2));
  EXPECT_EQ(config.script_params[0].value.value, std::nullopt);
  EXPECT_EQ(config.script_params[1].value.value, "");
}

TEST(ReadConfig, PutsExtraArgumentsAfterScriptParams) {
  RunConfig config = config_of(with_line("script_params: {--lr: 0.1}"));
  config.extra_arguments = {"--epochs", "2"};
  EXPECT_THAT(script_arguments(config), ElementsAre("--lr", "0.1", "--epochs", "2"));
}

TEST(ReadConfig, KeepsTheTextOfEnvironmentVariables) {
  const RunConfig config = config_of(test_file("full.yaml"));
  ASSERT_THAT(config.environment_variables, SizeIs(3));
  EXPECT_EQ(config.environment_variables[0].first, "OMP_NUM_THREADS");
  EXPECT_EQ(config.environment_variables[0].second.value, "4");
  EXPECT_EQ(config.environment_variables[1].second.value, "");
  EXPECT_EQ(config.environment_variables[2].second.value, "yes");
}

TEST(ReadConfig, UsesOneProcessOnOneNodeWithoutABackendByDefault) {
  const RunConfig config = config_of(test_file("minimal.yaml"));
  EXPECT_EQ(config.node_count.value, 1);
  EXPECT_EQ(config.process_count_per_node.value, 1);
  EXPECT_EQ(config.distributed_backend.value, Backend::kNone);
  EXPECT_EQ(config.process_count_per_node.origin.kind, Origin::Kind::kDefault);
  EXPECT_EQ(config.process_count_per_node.origin.text, "default");
}

TEST(ReadConfig, SaysInTheOriginWhereAValueStands) {
  const RunConfig config = config_of(test_file("full.yaml"));
  const Origin& origin = config.process_count_per_node.origin;
  EXPECT_EQ(origin.kind, Origin::Kind::kFile);
  EXPECT_EQ(origin.text, "run.yaml:13:25");
  ASSERT_TRUE(origin.location.has_value());
  EXPECT_EQ(origin.location->line, 13);
  EXPECT_EQ(origin.location->column, 25);
  EXPECT_EQ(origin.location->source_line, "process_count_per_node: 4");
}

TEST(ReadConfig, ReadsPatternsOfMetrics) {
  const auto patterns =
      config_of(with_line("metrics: {patterns: [{name: loss, regex: 'loss=([0-9.]+)'}, "
                          "megatron, key=value, 'acc=a: ([0-9]+)']}"))
          .metric_patterns;
  ASSERT_THAT(patterns, SizeIs(4));
  EXPECT_EQ(patterns[0].name, "loss");
  EXPECT_EQ(patterns[0].regex, "loss=([0-9.]+)");
  EXPECT_EQ(patterns[1].preset, "megatron");
  EXPECT_EQ(patterns[2].preset, "key=value");
  EXPECT_EQ(patterns[3].name, "acc");
  EXPECT_EQ(patterns[3].regex, "a: ([0-9]+)");
}

TEST(ReadConfig, ReadsACommandOverSeveralLines) {
  const RunConfig config = config_of(test_file("command.yaml"));
  EXPECT_EQ(std::get<ShellCommand>(config.run.value).text, "python3 train.py --lr 0.1");
}

TEST(ReadConfig, ReadsAutoAsAProcessCountThatIsNotKnownYet) {
  const RunConfig config = config_of(with_line("process_count_per_node: auto"));
  EXPECT_EQ(config.process_count_per_node.value, std::nullopt);
  EXPECT_EQ(config.process_count_per_node.origin.text, "run.yaml:2:25");
}

TEST(ReadConfig, FollowsAliasesAndMergeKeys) {
  EXPECT_THAT(script_arguments(config_of(test_file("anchors.yaml"))),
              ElementsAre("--lr", "0.1", "--warmup-lr", "0.1", "OMP_NUM_THREADS", "2"));
}

TEST(ReadConfig, LetsAKeyWinOverAMergedOne) {
  const RunConfig config = config_of(
      "entry_script: a.py\nenvironment: {variables: &base {A: 1, B: 2}}\n"
      "script_params: {<<: *base, A: 3}\n");
  EXPECT_THAT(script_arguments(config), ElementsAre("A", "3", "B", "2"));
}

TEST(ReadConfig, AcceptsGroupsWithoutContent) {
  EXPECT_EQ(problems_of(with_line("limits:\nresources: {}\nenvironment:\n  python:\ninputs:\n"
                                  "script_params:\nmetrics:\nrestarts:\n")),
            "");
}

TEST(ReadConfig, AcceptsAByteOrderMarkAndCarriageReturns) {
  const RunConfig config = config_of(
      "\xEF\xBB\xBF"
      "entry_script: train.py\r\nprocess_count_per_node: 1\r\n");
  EXPECT_EQ(config.run.origin.text, "run.yaml:1:15");
  EXPECT_EQ(config.process_count_per_node.origin.location->source_line,
            "process_count_per_node: 1");
}

TEST(ReadConfig, KeepsBytesThatAreNotUtf8) {
  const RunConfig config = config_of(
      "entry_script: tr\xFF"
      "in.py\n");
  EXPECT_EQ(std::get<EntryScript>(config.run.value).path,
            "tr\xFF"
            "in.py");
}

struct DurationCase {
  const char* text;
  std::chrono::milliseconds expected;
};

class Durations : public testing::TestWithParam<DurationCase> {};

TEST_P(Durations, AreReadWithTheirUnit) {
  const RunConfig config =
      config_of(with_line(std::string("limits: {drain_timeout: ") + GetParam().text + "}"));
  EXPECT_EQ(config.limits.drain_timeout.value, GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(ReadConfig, Durations,
                         testing::Values(DurationCase{"600s", 600s}, DurationCase{"500ms", 500ms},
                                         DurationCase{"2m", 2min}, DurationCase{"1h", 1h},
                                         DurationCase{"30", 30s}, DurationCase{"0", 0s},
                                         DurationCase{"0s", 0s}, DurationCase{"'7s'", 7s}));

TEST(ConfigFromCommand, RunsTheProgramWithoutAShell) {
  auto config = config_from_command({"python3", "train.py", "--lr", "0.1"},
                                    sets({"environment.variables.FOO=bar"}));
  ASSERT_TRUE(config) << text_of(config.error());
  EXPECT_THAT(std::get<Program>(config->run.value).argv,
              ElementsAre("python3", "train.py", "--lr", "0.1"));
  EXPECT_EQ(config->file_name, "");
  EXPECT_EQ(config->environment_variables.at(0).second.value, "bar");
}

TEST(ConfigFromCommand, LeavesTheBackendToTheCallerWhenNoneWasAsked) {
  const std::vector<Override> four{
      {"process_count_per_node", "4", Origin{Origin::Kind::kFlag, "-n", std::nullopt}}};
  auto config = config_from_command({"true"}, four);
  ASSERT_TRUE(config) << text_of(config.error());
  EXPECT_EQ(config->process_count_per_node.value, 4);
  EXPECT_EQ(config->process_count_per_node.origin.text, "-n");
  EXPECT_EQ(config->distributed_backend.value, Backend::kNone);
  EXPECT_EQ(config->distributed_backend.origin.kind, Origin::Kind::kDefault);
}

TEST(ConfigFromCommand, RefusesSeveralProcessesWithTheBackendNone) {
  const std::vector<Override> flags{
      {"process_count_per_node", "4", Origin{Origin::Kind::kFlag, "-n", std::nullopt}},
      {"distributed_backend", "none", Origin{Origin::Kind::kFlag, "--backend", std::nullopt}}};
  auto config = config_from_command({"true"}, flags);
  ASSERT_FALSE(config);
  EXPECT_EQ(text_of(config.error()),
            "muster: error: -n: 4 processes need a distributed_backend, and it is none "
            "(--backend)\n"
            "  hint: use --backend mpi (Open MPI starts them) or --backend direct (torch-style, "
            "without MPI)\n");
}

TEST(ConfigFromCommand, RefusesAnEmptyCommandAsAUsageError) {
  auto config = config_from_command({}, {});
  ASSERT_FALSE(config);
  ASSERT_THAT(config.error(), SizeIs(1));
  EXPECT_EQ(config.error()[0].code, ErrorCode::kUsage);
}

TEST(ConfigFromCommand, RefusesAnEntryScriptBesideTheProgram) {
  auto config = config_from_command({"true"}, sets({"entry_script=train.py"}));
  ASSERT_FALSE(config);
  EXPECT_THAT(text_of(config.error()), HasSubstr("program is given too (command line)"));
}

TEST(ConfigFromCommand, RefusesScriptParams) {
  auto config = config_from_command({"true"}, sets({"script_params.--lr=0.1"}));
  ASSERT_FALSE(config);
  EXPECT_THAT(text_of(config.error()), HasSubstr("this run has a program"));
}

}  // namespace
}  // namespace muster::config
