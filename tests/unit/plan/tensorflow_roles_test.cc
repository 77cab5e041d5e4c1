#include "launcher/plan/tensorflow_roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/plan_json.h"
#include "launcher/plan/plan_text.h"
#include "launcher/plan/rank_environment.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;

class TensorflowRoles : public ::testing::Test {
 protected:
  void use(int workers, int servers) {
    config_ = script_config(workers + servers, config::Backend::kDirect);
    config_.tensorflow =
        config::TensorflowRoles{{workers, from_line(6, 3, "worker_count: 2")}, {servers, {}}};
    inputs_ = inputs_for(machine("server-2x16"));
    start_.run_id = "digits-1";
    start_.rank_ports.clear();
    for (int rank = 0; rank < workers + servers; ++rank) {
      start_.rank_ports.push_back(std::to_string(61000 + rank));
    }
  }
  LaunchPlan plan() {
    auto plan = make_plan(config_, inputs_, start_);
    EXPECT_TRUE(plan) << plan.error().message;
    return plan ? *plan : LaunchPlan{};
  }
  Environment of_rank(int rank) { return complete_rank_environment(plan(), inputs_, rank); }

  config::RunConfig config_;
  PlanInputs inputs_;
  StartValues start_;
};

TEST_F(TensorflowRoles, AreTheWorkersThenTheParameterServers) {
  use(2, 1);
  const std::string cluster =
      R"({"cluster":{"worker":["127.0.0.1:61000","127.0.0.1:61001"],"ps":["127.0.0.1:61002"]},)";
  EXPECT_EQ(of_rank(1)["TF_CONFIG"],
            cluster + R"("task":{"type":"worker","index":1},"environment":"cloud"})");
  EXPECT_EQ(of_rank(2)["TF_CONFIG"],
            cluster + R"("task":{"type":"ps","index":0},"environment":"cloud"})");
  EXPECT_THAT(of_rank(2),
              IsSupersetOf({Pair("RANK", "2"), Pair("AZ_BATCHAI_TASK_INDEX", "0"),
                            Pair("AZ_BATCHAI_PS_HOSTS", "127.0.0.1:61002"),
                            Pair("AZ_BATCHAI_WORKER_HOSTS", "127.0.0.1:61000,127.0.0.1:61001")}));
  EXPECT_THAT(servers(plan()), ElementsAre(2));
}

TEST_F(TensorflowRoles, WithoutParameterServersNameNone) {
  use(2, 0);
  EXPECT_EQ(of_rank(0)["TF_CONFIG"],
            R"({"cluster":{"worker":["127.0.0.1:61000","127.0.0.1:61001"]},)"
            R"("task":{"type":"worker","index":0},"environment":"cloud"})");
  EXPECT_EQ(of_rank(0)["AZ_BATCHAI_PS_HOSTS"], "");
  EXPECT_THAT(servers(plan()), ElementsAre());
}

TEST_F(TensorflowRoles, AreSeenInThePlanBeforeTheirPortsAreKnown) {
  use(1, 1);
  auto early = make_plan(config_, inputs_);
  ASSERT_TRUE(early);
  EXPECT_THAT(plan_text(*early), HasSubstr("  worker 0  "));
  EXPECT_THAT(plan_text(*early), HasSubstr("  ps 0  "));
  EXPECT_THAT(plan_json(*early), HasSubstr("127.0.0.1:<set at start>"));
  EXPECT_THAT(plan_json(*early), HasSubstr("\"role\": \"ps\""));
  set_start_values(*early, config_, start_);
  EXPECT_EQ(complete_rank_environment(*early, inputs_, 1)["TF_CONFIG"], of_rank(1)["TF_CONFIG"]);
}

TEST_F(TensorflowRoles, AreNotThereUnlessWanted) {
  use(2, 0);
  config_.tensorflow.reset();
  EXPECT_THAT(of_rank(0), Not(Contains(Key("TF_CONFIG"))));
  EXPECT_THAT(of_rank(0), Not(Contains(Key("AZ_BATCHAI_WORKER_HOSTS"))));
}

TEST_F(TensorflowRoles, OneTextForAllRanksIsRefused) {
  use(2, 0);
  config_.environment_variables.emplace_back(
      "TF_CONFIG", config::Setting<std::string>{"{}", from_line(9, 5, "TF_CONFIG: {}")});
  const auto refused = make_plan(config_, inputs_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "cannot set TF_CONFIG to \"{}\" for every rank: it tells each rank who it is");
  EXPECT_THAT(refused.error().hint, HasSubstr("tensorflow.worker_count"));
  use(1, 0);
  config_.tensorflow.reset();
  config_.environment_variables.emplace_back(
      "TF_CONFIG", config::Setting<std::string>{"{}", from_line(9, 5, "TF_CONFIG: {}")});
  EXPECT_EQ(of_rank(0)["TF_CONFIG"], "{}");
}

}  // namespace
}  // namespace muster::plan
