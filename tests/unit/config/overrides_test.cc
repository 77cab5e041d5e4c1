#include <gmock/gmock.h>

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParseSet, SplitsAtTheFirstEqualsSign) {
  const auto set = parse_set("environment.variables.FLAGS=-Da=b");
  ASSERT_TRUE(set);
  EXPECT_EQ(set->key_path, "environment.variables.FLAGS");
  EXPECT_EQ(set->value, "-Da=b");
  EXPECT_EQ(set->origin.kind, Origin::Kind::kSet);
  EXPECT_EQ(set->origin.text, "--set environment.variables.FLAGS=-Da=b");
}

TEST(ParseSet, RefusesATextWithoutAKeyOrAValue) {
  for (const char* text : {"a.b", "", "=4"}) {
    const auto set = parse_set(text);
    ASSERT_FALSE(set) << text;
    EXPECT_EQ(set.error().code, ErrorCode::kUsage);
    EXPECT_EQ(set.error().message,
              "--set " + std::string(text) + ": it is not of the form key.path=value");
  }
}

TEST(Overrides, WinOverTheFileAndSaySo) {
  const RunConfig config =
      config_of(test_file("full.yaml"), {"process_count_per_node=2", "limits.drain_timeout=9s"});
  EXPECT_EQ(config.process_count_per_node.value, 2);
  EXPECT_EQ(config.process_count_per_node.origin.text, "--set process_count_per_node=2");
  EXPECT_EQ(config.limits.drain_timeout.value, std::chrono::seconds(9));
}

TEST(Overrides, SayWhatTheyTookThePlaceOf) {
  const Override variable{"process_count_per_node", "3",
                          Origin{Origin::Kind::kEnvironment, "MUSTER_N", std::nullopt}};
  const Override flag{"process_count_per_node", "4",
                      Origin{Origin::Kind::kFlag, "-n", std::nullopt}};
  const auto config = read_config(
      "command: x\nprocess_count_per_node: 2\ndistributed_backend: direct\n", "run.yaml",
      "/configs", std::vector{variable, parse_set("node_count=1").value(), flag});
  ASSERT_TRUE(config);
  const std::string shown = describe_text(*config);
  EXPECT_THAT(shown, HasSubstr("4        -n  (MUSTER_N says 3, run.yaml:2:25 says 2)\n"));
  EXPECT_THAT(shown, HasSubstr("--set node_count=1\n"));
  EXPECT_THAT(describe_json(*config), HasSubstr("\"origin\": \"run.yaml:2:25\""));
}

TEST(Overrides, CountInTheOrderOfTheCommandLine) {
  const RunConfig config =
      config_of(test_file("minimal.yaml"), {"limits.drain_timeout=9s", "limits.drain_timeout=8s"});
  EXPECT_EQ(config.limits.drain_timeout.value, std::chrono::seconds(8));
}

TEST(Overrides, ReplaceAScriptParamInItsPlaceAndAppendANewOne) {
  const std::string text = with_line("script_params: {--lr: 0.1, --epochs: 2}");
  EXPECT_THAT(script_arguments(config_of(
                  text, {"script_params.--lr=0.5", "script_params.--v=", "script_params.--a.b=1"})),
              ElementsAre("--lr", "0.5", "--epochs", "2", "--v", "--a.b", "1"));
}

TEST(Overrides, ReplaceAndAppendEnvironmentVariables) {
  const RunConfig config = config_of(
      with_line("environment: {variables: {A: 1, B: 2}}"),
      {"environment.variables.A=3", "environment.variables.C=", "distributed_backend=none"});
  ASSERT_EQ(config.environment_variables.size(), 3U);
  EXPECT_EQ(config.environment_variables[0].second.value, "3");
  EXPECT_EQ(config.environment_variables[1].second.value, "2");
  EXPECT_EQ(config.environment_variables[2].first, "C");
  EXPECT_EQ(config.environment_variables[2].second.value, "");
}

TEST(Overrides, RescueAValueThatTheFileHasWrong) {
  EXPECT_EQ(problems_of(with_line("node_count: 2\nscript_params: {--data: '${{inputs.d}}'}"),
                        {"node_count=1", "script_params.--data=/data"}),
            "");
}

TEST(Overrides, AreCheckedLikeTheFile) {
  EXPECT_EQ(problems_of(test_file("minimal.yaml"), {"process_count_per_node=four"}),
            "muster: error: --set process_count_per_node=four: \"four\" is not a whole number\n"
            "  hint: write a whole number of processes, 1 or more, or auto\n");
  EXPECT_EQ(problems_of(test_file("minimal.yaml"), {"process_count_per_node="}),
            "muster: error: --set process_count_per_node=: it has no value\n"
            "  hint: write a whole number of processes, 1 or more, or auto\n");
  EXPECT_EQ(problems_of(test_file("minimal.yaml"), {"environment.variables.RANK=0"}),
            "muster: error: --set environment.variables.RANK=0: \"RANK\" tells each rank who it "
            "is, and a config gives every rank the same value\n"
            "  hint: leave it out; muster or mpirun sets it for each rank\n");
  EXPECT_THAT(problems_of(test_file("minimal.yaml"), {"inputs.digits.mode=upload"}),
              HasSubstr("--set inputs.digits.mode=upload: an input is not uploaded\n"
                        "  hint: declare it under outputs\n"));
  EXPECT_THAT(problems_of(test_file("minimal.yaml"), {"node_count=0"}),
              HasSubstr("--set node_count=0: 0 is less than 1\n"));
  EXPECT_THAT(problems_of(test_file("minimal.yaml"), {"command=true"}),
              HasSubstr("--set command=true: entry_script is given too (run.yaml:1:15)"));
}

TEST(Overrides, SayWhereTheNumberCameFromWhenABackendIsMissing) {
  EXPECT_THAT(
      problems_of(test_file("minimal.yaml"), {"process_count_per_node=2"}),
      HasSubstr("--set process_count_per_node=2: 2 processes need a distributed_backend\n"));
}

TEST(Overrides, SuggestAKeyForAnUnknownOne) {
  const std::string text = test_file("minimal.yaml");
  EXPECT_EQ(problems_of(text, {"limits.join_timeot=3s"}),
            "muster: error: --set limits.join_timeot=3s: unknown key \"limits.join_timeot\"\n"
            "  hint: did you mean \"limits.join_timeout\"?\n");
  EXPECT_THAT(problems_of(text, {"join_timeout=3s"}),
              HasSubstr("hint: did you mean \"limits.join_timeout\"?"));
  EXPECT_THAT(problems_of(text, {"zzz=3s"}), HasSubstr("hint: known keys: source_directory, "));
  EXPECT_EQ(problems_of(text, {"restarts=3"}),
            "muster: error: --set restarts=3: it is a group of keys\n"
            "  hint: set one of restarts.max_restarts\n");
}

TEST(Overrides, AreReportedAfterTheFile) {
  const auto config = read(with_line("zzz: 1"), {"yyy=1"});
  ASSERT_FALSE(config);
  ASSERT_EQ(config.error().size(), 2U);
  EXPECT_THAT(config.error()[0].message, HasSubstr("zzz"));
  EXPECT_THAT(config.error()[1].message, HasSubstr("yyy"));
}

}  // namespace
}  // namespace muster::config
