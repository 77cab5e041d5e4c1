#include "launcher/plan/make_plan.h"

#include <algorithm>
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_text.h"
#include "launcher/plan/plan_json.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using config::Backend;
using ::testing::HasSubstr;

Error error_of(const config::RunConfig& config, const PlanInputs& inputs) {
  const auto plan = make_plan(config, inputs);
  EXPECT_FALSE(plan);
  return plan ? Error{} : plan.error();
}

const Reason& reason(const LaunchPlan& plan, const std::string& subject) {
  static const Reason kMissing;
  const auto found = std::find_if(plan.reasons.begin(), plan.reasons.end(),
                                  [&](const Reason& reason) { return reason.subject == subject; });
  EXPECT_NE(found, plan.reasons.end()) << subject;
  return found == plan.reasons.end() ? kMissing : *found;
}

TEST(MakePlan, CountsOneProcessPerNumaNodeWhenAuto) {
  config::RunConfig config = script_config(1, Backend::kDirect);
  config.process_count_per_node.value = std::nullopt;
  const auto plan = make_plan(config, inputs_for(machine("numa-4x6")));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->world_size, 4);
  EXPECT_EQ(reason(*plan, "process_count_per_node").why,
            "auto (run.yaml:4:25): no GPU known, so one per NUMA node with allowed cores");
}

TEST(MakePlan, IgnoresNumaNodesWithoutCoresWhenAuto) {
  config::RunConfig config = script_config(1, Backend::kDirect);
  config.process_count_per_node.value = std::nullopt;
  const auto plan = make_plan(config, inputs_for(machine("cpuless-numa")));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->world_size, 1);
}

TEST(MakePlan, CountsOneProcessPerGpuWhenAuto) {
  config::RunConfig config = script_config(1, Backend::kDirect);
  config.process_count_per_node.value = std::nullopt;
  PlanInputs inputs = inputs_for(machine("laptop-4c8t"));
  inputs.nodes[0].gpus.resize(3);
  const auto plan = make_plan(config, inputs);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->world_size, 3);
}

TEST(MakePlan, RefusesSeveralProcessesWithoutABackendAndNamesBothChoices) {
  const Error error =
      error_of(script_config(4, Backend::kNone), inputs_for(machine("server-2x16")));
  EXPECT_EQ(error.code, ErrorCode::kConfig);
  EXPECT_EQ(format_error(error),
            "muster: error: process_count_per_node is 4 and distributed_backend is none\n"
            "  run.yaml:4:25: process_count_per_node: 4\n"
            "                                         ^\n"
            "  hint: set distributed_backend to mpi (MPI programs) or direct (PyTorch-style, no "
            "MPI), or process_count_per_node to 1\n");
}

TEST(MakePlan, RefusesAutoThatBecomesSeveralWithoutABackend) {
  config::RunConfig config = script_config(1, Backend::kNone);
  config.process_count_per_node.value = std::nullopt;
  EXPECT_THAT(error_of(config, inputs_for(machine("numa-4x6"))).message,
              HasSubstr("process_count_per_node is auto, here 4"));
}

TEST(MakePlan, RefusesGpusThatAreNotThere) {
  config::RunConfig config = script_config(8, Backend::kDirect);
  config.resources.gpus_per_process = {1, from_line(7, 31, "resources: {gpus_per_process: 1}")};
  const Error error = error_of(config, inputs_for(machine("server-2x16")));
  EXPECT_EQ(error.code, ErrorCode::kResources);
  EXPECT_EQ(error.message,
            "cannot place 8 processes on server-2x16: no GPU visible and gpus_per_process is 1");
  EXPECT_THAT(error.hint, HasSubstr("set gpus_per_process to 0"));
  EXPECT_EQ(error.location->line, 7);
}

TEST(MakePlan, TakesZeroGpusAsARunOnCpus) {
  config::RunConfig config = script_config(1, Backend::kNone);
  config.resources.gpus_per_process = {0, from_line(7, 31, "…")};
  EXPECT_TRUE(make_plan(config, inputs_for(machine("server-2x16"))));
}

TEST(MakePlan, RefusesCountsBelowOne) {
  EXPECT_EQ(error_of(script_config(0, Backend::kMpi), inputs_for(machine("single-core"))).code,
            ErrorCode::kConfig);
  config::RunConfig config = script_config(1, Backend::kNone);
  config.resources.cores_per_process.value = 0;
  EXPECT_EQ(error_of(config, inputs_for(machine("single-core"))).code, ErrorCode::kConfig);
}

TEST(MakePlan, RefusesSeveralNodesInThisVersion) {
  config::RunConfig config = script_config(1, Backend::kMpi);
  config.node_count = {2, from_line(8, 13, "node_count: 2")};
  const Error error = error_of(config, inputs_for(machine("single-core")));
  EXPECT_EQ(error.code, ErrorCode::kResources);
  EXPECT_EQ(error.message, "cannot run on 2 nodes: only this one is known");
  EXPECT_EQ(error.location->line, 8);
}

TEST(MakePlan, NeedsAnMpirunForMpiOnly) {
  PlanInputs inputs = inputs_for(machine("server-2x16"));
  inputs.mpirun.reset();
  EXPECT_EQ(error_of(script_config(2, Backend::kMpi), inputs).code, ErrorCode::kResources);
  const auto direct = make_plan(script_config(2, Backend::kDirect), inputs);
  ASSERT_TRUE(direct);
  EXPECT_FALSE(direct->mpirun);
}

TEST(MakePlan, ClaimsAsManySlotsAsRanksThatHaveCores) {
  const auto slots = [](int processes) {
    const auto plan =
        make_plan(script_config(processes, Backend::kMpi), inputs_for(machine("laptop-4c8t")));
    EXPECT_TRUE(plan);
    const std::vector<std::string> argv = plan ? plan->mpirun->argv() : std::vector<std::string>{};
    const auto host = std::find(argv.begin(), argv.end(), "--host");
    return host == argv.end() ? std::string() : *(host + 1);
  };
  EXPECT_EQ(slots(3), "localhost:3");
  EXPECT_EQ(slots(4), "localhost:4");
  EXPECT_EQ(slots(9), "localhost:4");
}

TEST(MakePlan, DerivesTheKillTimeoutFromTheLongerGrace) {
  config::RunConfig config = script_config(2, Backend::kMpi);
  config.limits.failure_grace_period.value = std::chrono::seconds(90);
  const auto plan = make_plan(config, inputs_for(machine("laptop-4c8t")));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->mpirun->argv(), testing::Contains("100"));
}

TEST(MakePlan, TakesTheWorkingDirectoryOfTheCopyFromTheStart) {
  config::RunConfig config = script_config(1, Backend::kNone);
  config.source_directory.value = "src";
  const auto plan = make_plan(config, inputs_for(machine("laptop-4c8t")),
                              {"digits-1", "29400", "/scratch/digits-1/source"});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->working_directory, "/scratch/digits-1/source");
  EXPECT_EQ(plan->source_directory, "/data/digits/src");
}

TEST(MakePlan, ThePython3ThatIsTakenForPythonIsWhatRuns) {
  config::RunConfig config = script_config(1, Backend::kNone);
  config.python_interpreter.value = "python";
  PlanInputs inputs = inputs_for(machine("laptop-4c8t"));
  inputs.python = PythonFacts{"python", "", "/usr/bin/python3"};
  auto plan = make_plan(config, inputs);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->argv.front(), "python3");
  set_start_values(*plan, config, {});
  EXPECT_EQ(plan->argv.front(), "python3");
}

TEST(MakePlan, GivesTheSameAnswerTwice) {
  const config::RunConfig config = script_config(6, Backend::kMpi);
  const PlanInputs inputs = inputs_for(machine("dgx-a100-8x16"));
  EXPECT_EQ(plan_json(*make_plan(config, inputs)), plan_json(*make_plan(config, inputs)));
}

}  // namespace
}  // namespace muster::plan
