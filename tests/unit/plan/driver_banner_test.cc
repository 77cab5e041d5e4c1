#include "launcher/plan/driver_banner.h"

#include <csignal>

#include <gtest/gtest.h>

#include "launcher/plan/run_command.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

LaunchPlan plan_of(config::WhatToRun what, DriverSentences sentences) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.run.value = std::move(what);
  config.script_params = {{config::ScriptParam{"--a b", "it's $RANK"}, {}}};
  LaunchPlan plan;
  plan.driver_sentences = sentences;
  choose_argv(config, plan);
  return plan;
}

TEST(DriverBannerTest, TheDialectTellsWhoseSentences) {
  EXPECT_EQ(driver_sentences_of("Azure ML v1 run configuration (2019)"), DriverSentences::kV1);
  EXPECT_EQ(driver_sentences_of("Azure ML v1 run definition of the service"), DriverSentences::kV1);
  EXPECT_EQ(driver_sentences_of("Azure ML v2 command job"), DriverSentences::kV2);
  EXPECT_EQ(driver_sentences_of("Batch AI job"), DriverSentences::kNone);
  EXPECT_EQ(driver_sentences_of(""), DriverSentences::kNone);
}

TEST(DriverBannerTest, V1NamesTheScriptBeforeAndAfterExpansion) {
  const LaunchPlan plan = plan_of(config::EntryScript{"train.py"}, DriverSentences::kV1);
  std::vector<std::string> argv = plan.argv;
  argv.back() = "it's 3";
  EXPECT_EQ(
      driver_banner(plan, argv),
      "Entering context manager injector.\n"
      "Preparing to call script [ train.py ] with arguments: ['--a b', \"it's $RANK\"]\n"
      "After variable expansion, calling script [ train.py ] with arguments: ['--a b', \"it's "
      "3\"]\n\n");
}

TEST(DriverBannerTest, AScriptOfAnotherKindIsNamedToo) {
  const LaunchPlan plan = plan_of(config::EntryScript{"run.sh"}, DriverSentences::kV1);
  EXPECT_NE(
      driver_banner(plan, plan.argv).find("call script [ ./run.sh ] with arguments: ['--a b'"),
      std::string::npos);
}

TEST(DriverBannerTest, OthersHaveNone) {
  const LaunchPlan v2 = plan_of(config::EntryScript{"train.py"}, DriverSentences::kV2);
  EXPECT_EQ(driver_banner(v2, v2.argv), "");
  const LaunchPlan command = plan_of(config::ShellCommand{"ls"}, DriverSentences::kV1);
  EXPECT_EQ(driver_banner(command, command.argv), "Entering context manager injector.\n\n");
}

TEST(DriverBannerTest, TheEndIsInAzuresWordsForASuccessAndInOursElse) {
  RankOutcome rank;
  rank.rank = 1;
  rank.end = RankEnd::kExited;
  EXPECT_EQ(driver_epilogue(DriverSentences::kV1, rank),
            "\n\nThe experiment completed successfully. Finalizing run...\n");
  EXPECT_EQ(driver_epilogue(DriverSentences::kV2, rank),
            "\n\nThe activity completed successfully. Finalizing run...\n");
  rank.status = ExitStatus::exited(3);
  EXPECT_EQ(driver_epilogue(DriverSentences::kV1, rank), "\nmuster: rank 1 exited with 3\n");
  rank.end = RankEnd::kStopped;
  rank.status = ExitStatus::signaled(SIGTERM);
  EXPECT_EQ(driver_epilogue(DriverSentences::kV2, rank),
            "\nmuster: rank 1 killed by SIGTERM (signal 15)\n");
  rank.end = RankEnd::kExecFailed;
  rank.exec_failure = "executing ./x: Permission denied";
  EXPECT_EQ(driver_epilogue(DriverSentences::kV2, rank),
            "\nmuster: rank 1 executing ./x: Permission denied\n");
}

}  // namespace
}  // namespace muster::plan
