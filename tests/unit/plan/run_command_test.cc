#include "launcher/plan/run_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::ElementsAre;

config::RunConfig config_that_runs(config::WhatToRun what) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.run.value = std::move(what);
  config.script_params.clear();
  return config;
}

LaunchPlan directory_plan(const config::RunConfig& config) {
  LaunchPlan plan;
  choose_working_directory(config, "/data/here", plan);
  return plan;
}

TEST(RankArgv, RunsAPythonScriptWithItsInterpreterAndParams) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.script_params.push_back({config::ScriptParam{"--verbose", std::nullopt}, {}});
  config.python_interpreter.value = "python3.11";
  config.extra_arguments = {"--seed", "1"};
  EXPECT_THAT(rank_argv(config), ElementsAre("python3.11", "train.py", "--regularization", "0.8",
                                             "--verbose", "--seed", "1"));
}

TEST(RankArgv, RunsAnotherScriptItselfAndNeverFromPath) {
  EXPECT_THAT(rank_argv(config_that_runs(config::EntryScript{"run.sh"})), ElementsAre("./run.sh"));
  EXPECT_THAT(rank_argv(config_that_runs(config::EntryScript{"bin/train"})),
              ElementsAre("bin/train"));
}

TEST(RankArgv, GivesACommandToTheShellAsItStands) {
  EXPECT_THAT(rank_argv(config_that_runs(config::ShellCommand{"python train.py --lr 0.1 | tee x"})),
              ElementsAre("/bin/sh", "-c", "python train.py --lr 0.1 | tee x"));
}

TEST(RankArgv, PassesExtraArgumentsToACommandUnsplit) {
  config::RunConfig config = config_that_runs(config::ShellCommand{"python train.py"});
  config.extra_arguments = {"--name", "two words"};
  EXPECT_THAT(rank_argv(config),
              ElementsAre("/bin/sh", "-c", "python train.py \"$@\"", "sh", "--name", "two words"));
}

TEST(RankArgv, LeavesAProgramAlone) {
  EXPECT_THAT(rank_argv(config_that_runs(config::Program{{"python", "-c", "print(1)"}})),
              ElementsAre("python", "-c", "print(1)"));
}

TEST(ChooseArgv, EachRankExpandsWhatTheConfigSaysAfterAScript) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.script_params.push_back({config::ScriptParam{"--gpu", "$LOCAL_RANK"}, {}});
  config.extra_arguments = {"$HOME"};
  LaunchPlan plan;
  choose_argv(config, plan);
  EXPECT_EQ(plan.argv[static_cast<std::size_t>(plan.expanded.first)], "--regularization");
  EXPECT_EQ(plan.expanded.count, 4);  // not the words of the command line
  ASSERT_EQ(plan.reasons.size(), 1U);
  EXPECT_EQ(plan.reasons[0].subject, "arguments");
  EXPECT_EQ(plan.reasons[0].value, "$LOCAL_RANK");
}

TEST(ChooseArgv, ExpandsNothingOfACommandOrAProgramAndSaysNothingWithoutADollar) {
  for (const config::WhatToRun& what : {config::WhatToRun(config::ShellCommand{"echo $RANK"}),
                                        config::WhatToRun(config::Program{{"echo", "$RANK"}}),
                                        config::WhatToRun(config::EntryScript{"$RANK.py"})}) {
    LaunchPlan plan;
    choose_argv(config_that_runs(what), plan);
    EXPECT_EQ(plan.expanded.count, 0);
    EXPECT_TRUE(plan.reasons.empty());
  }
}

TEST(RankArgv, TakesPython3ForAScriptWhereThereIsNoPython) {
  config::RunConfig config = config_that_runs(config::EntryScript{"train.py"});
  config.python_interpreter.value = "python";
  LaunchPlan plan;
  plan.argv = rank_argv(config);
  EXPECT_TRUE(take_python3(config, {"python", "", "/usr/bin/python3", "", "", ""}, plan));
  EXPECT_THAT(plan.argv, ElementsAre("python3", "train.py"));
  EXPECT_FALSE(take_python3(config, {"python", "/bin/python", "", "", "", ""}, plan));
  EXPECT_FALSE(take_python3(config, {"python", "", "", "", "", ""}, plan));
  config = config_that_runs(config::Program{{"python", "train.py"}});
  EXPECT_FALSE(take_python3(config, {"python", "", "/usr/bin/python3", "", "", ""}, plan));
}

TEST(WorkingDirectory, IsTheConfigsWithoutASourceDirectory) {
  const LaunchPlan plan = directory_plan(script_config(1, config::Backend::kNone));
  EXPECT_TRUE(plan.in_place);
  EXPECT_EQ(plan.working_directory, "/data/digits");
}

TEST(WorkingDirectory, IsTheCurrentOneWithoutAFile) {
  config::RunConfig config = config_that_runs(config::Program{{"true"}});
  config.file_name.clear();
  EXPECT_EQ(directory_plan(config).working_directory, "/data/here");
}

TEST(WorkingDirectory, IsACopyOfTheSourceDirectory) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.source_directory = {"./src/", from_line(2, 19, "source_directory: ./src/")};
  const LaunchPlan plan = directory_plan(config);
  EXPECT_FALSE(plan.in_place);
  EXPECT_EQ(plan.source_directory, "/data/digits/src");
  EXPECT_EQ(plan.working_directory, "<copy of /data/digits/src>");
  config.source_directory.value = "/srv/code";
  EXPECT_EQ(directory_plan(config).source_directory, "/srv/code");
  config.source_directory.value = ".";
  EXPECT_EQ(directory_plan(config).source_directory, "/data/digits");
}

TEST(Interpreter, IsExplainedByWhereItComesFrom) {
  LaunchPlan plan;
  explain_python({"python3", "/srv/venv/bin/python3", "", "/srv/venv", "VIRTUAL_ENV", ""}, plan);
  EXPECT_EQ(plan.reasons.back().value, "/srv/venv/bin/python3");
  EXPECT_EQ(plan.reasons.back().why,
            "the first python3 on PATH, of the environment /srv/venv (VIRTUAL_ENV)");
  EXPECT_TRUE(plan.warnings.empty());
  explain_python({"/opt/python3", "/opt/python3", "", "", "", ""}, plan);
  EXPECT_EQ(plan.reasons.back().why, "named by the run");
  explain_python({"python", "", "/usr/bin/python3", "", "", ""}, plan);
  EXPECT_EQ(plan.reasons.back().why, "not found on the ranks' PATH; python3 is /usr/bin/python3");
}

TEST(Interpreter, OfAnotherEnvironmentThanTheActiveOneIsWarnedOf) {
  LaunchPlan plan;
  explain_python({"python3", "/usr/bin/python3", "", "", "", "VIRTUAL_ENV=/srv/venv"}, plan);
  ASSERT_EQ(plan.warnings.size(), 1U);
  EXPECT_EQ(plan.warnings.front().find("VIRTUAL_ENV=/srv/venv is active, and the ranks run "
                                       "/usr/bin/python3"),
            0U);
}

}  // namespace
}  // namespace muster::plan
