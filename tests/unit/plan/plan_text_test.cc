#include "launcher/plan/plan_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "launcher/plan/plan_json.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using config::Backend;
using ::testing::EndsWith;
using ::testing::HasSubstr;

LaunchPlan sample(int processes, Backend backend) {
  auto plan = make_plan(script_config(processes, backend), inputs_for(machine("laptop-4c8t")));
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? *plan : LaunchPlan{};
}

TEST(PlanText, EndsWithTheExactLine) {
  const LaunchPlan plan = sample(2, Backend::kMpi);
  EXPECT_THAT(plan_text(plan), EndsWith("\n" + plan_argv(plan)));
}

TEST(PlanText, QuotesArgvForAShell) {
  LaunchPlan plan = sample(2, Backend::kDirect);
  plan.argv = {"python3", "train.py", "--name", "it's two"};
  EXPECT_EQ(plan_argv(plan), shell_quoted(plan.argv) + "\n");
  EXPECT_THAT(plan_argv(plan), HasSubstr("python3 train.py --name 'it"));
}

TEST(PlanText, ShowsWarnings) {
  EXPECT_THAT(plan_text(sample(9, Backend::kMpi)), HasSubstr("9 ranks share 4 cores"));
}

TEST(PlanJson, HasTheFieldsThatOthersBuildOn) {
  const LaunchPlan plan = sample(2, Backend::kMpi);
  const auto json = nlohmann::json::parse(plan_json(plan));
  EXPECT_EQ(json["nodes"][0]["node_rank"], 0);
  EXPECT_EQ(json["nodes"][0]["hostname"], "laptop-4c8t");
  const auto& rank = json["ranks"][1];
  EXPECT_EQ(rank["rank"], 1);
  EXPECT_EQ(rank["local_rank"], 1);
  EXPECT_EQ(rank["node_rank"], 0);
  EXPECT_EQ(rank["cpuset"], "2-3,6-7");
  EXPECT_EQ(rank["memory_nodes"], "0");
  EXPECT_TRUE(rank["gpus"].is_array());
  EXPECT_TRUE(rank["nics"].is_array());
  EXPECT_EQ(json["mpirun_argv"].get<std::vector<std::string>>(), plan.mpirun->argv());
  EXPECT_EQ(json["environment"]["common"]["WORLD_SIZE"], "2");
  EXPECT_EQ(json["environment"]["per_rank"][1]["RANK"], "1");
  EXPECT_FALSE(json["reasons"].empty());
  EXPECT_TRUE(json["warnings"].is_array());
}

TEST(PlanJson, HasAnEmptyMpirunArgvWithoutMpirun) {
  const auto json = nlohmann::json::parse(plan_json(sample(1, Backend::kNone)));
  EXPECT_TRUE(json["mpirun_argv"].is_array());
  EXPECT_TRUE(json["mpirun_argv"].empty());
  EXPECT_TRUE(json["mpirun"].is_null());
}

TEST(PlanJson, StaysValidWhenAValueIsNotUtf8) {
  LaunchPlan plan = sample(1, Backend::kNone);
  plan.common_environment.push_back({"ODD", "\xff\xfe", "run.yaml:9:5"});
  EXPECT_TRUE(nlohmann::json::accept(plan_json(plan)));
}

}  // namespace
}  // namespace muster::plan
