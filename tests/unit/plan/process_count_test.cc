#include "launcher/plan/process_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/plan_text.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using config::Backend;
using ::testing::HasSubstr;

config::RunConfig two_nodes(int per_node, Backend backend) {
  config::RunConfig config = script_config(per_node, backend);
  config.node_count = {2, from_line(8, 13, "node_count: 2")};
  return config;
}

config::RunConfig roles(int workers, int servers) {
  config::RunConfig config = script_config(1, Backend::kDirect);
  config.process_count_per_node = {};
  config.process_count_per_node.value = 1;
  config.tensorflow.emplace();
  config.tensorflow->worker_count = {workers, from_line(2, 29, "…")};
  config.tensorflow->parameter_server_count = {servers, from_line(2, 58, "…")};
  return config;
}

PlanInputs one_node() {
  PlanInputs inputs = inputs_for(machine("server-2x16"));
  inputs.one_node = true;
  return inputs;
}

ProcessCounts counts_of(const config::RunConfig& config, const PlanInputs& inputs) {
  auto counts = count_processes(config, inputs);
  EXPECT_TRUE(counts) << counts.error().message;
  return counts ? *counts : ProcessCounts{};
}

Error error_of(const config::RunConfig& config, const PlanInputs& inputs) {
  auto counts = count_processes(config, inputs);
  EXPECT_FALSE(counts);
  return counts ? Error{} : counts.error();
}

TEST(OneNode, TakesTheProcessesOfAllNodes) {
  const ProcessCounts counts = counts_of(two_nodes(3, Backend::kMpi), one_node());
  EXPECT_EQ(counts.node_count, 1);
  EXPECT_EQ(counts.on_node().value, 6);
  EXPECT_EQ(counts.reasons[0].why, "--one-node, instead of 2 (run.yaml:8:13)");
  EXPECT_EQ(counts.reasons[1].why,
            "3 (run.yaml:4:25) for each of 2 nodes (run.yaml:8:13), all on this one: --one-node");
}

TEST(OneNode, IsWhatARunOfSeveralNodesNeedsHere) {
  const Error error = error_of(two_nodes(1, Backend::kMpi), inputs_for(machine("server-2x16")));
  EXPECT_EQ(error.code, ErrorCode::kResources);
  EXPECT_EQ(error.message, "cannot run on 2 nodes: only this one is known");
  EXPECT_EQ(error.hint,
            "start muster run on each of them, under a scheduler or with --nodes, --node-rank and "
            "--rendezvous; --one-node puts all of their processes on this one; muster plan "
            "--topology FILE plans for several such nodes");
}

TEST(OneNode, ChangesNothingForARunOfOne) {
  const ProcessCounts counts = counts_of(script_config(4, Backend::kMpi), one_node());
  EXPECT_EQ(counts.on_node().value, 4);
  EXPECT_EQ(counts.on_node().origin.text, "run.yaml:4:25");
}

TEST(OneNode, NeedsABackendForSeveralProcesses) {
  const Error error = error_of(two_nodes(1, Backend::kNone), one_node());
  EXPECT_EQ(error.message, "the run has 2 processes and distributed_backend is none");
}

TEST(OneNode, IsSaidInThePlan) {
  const auto plan = make_plan(two_nodes(2, Backend::kDirect), one_node());
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->world_size, 4);
  EXPECT_EQ(plan->nodes.size(), 1U);
  EXPECT_EQ(plan->ranks[3].local_rank, 3);
  EXPECT_THAT(plan_text(*plan),
              HasSubstr("plan: 4 ranks on 1 node (direct; --one-node, instead of 2 nodes)"));
}

TEST(TensorflowCounts, AreTheProcesses) {
  const ProcessCounts counts = counts_of(roles(3, 2), inputs_for(machine("server-2x16")));
  EXPECT_EQ(counts.on_node().value, 5);
  EXPECT_EQ(counts.on_node().origin.text,
            "3 workers (run.yaml:2:29) and 2 parameter servers (run.yaml:2:58)");
  EXPECT_EQ(counts_of(roles(1, 0), one_node()).on_node().origin.text, "1 worker (run.yaml:2:29)");
}

TEST(TensorflowCounts, AreTotalsOverAllNodes) {
  config::RunConfig config = roles(3, 1);
  config.node_count = {2, from_line(8, 13, "node_count: 2")};
  EXPECT_EQ(counts_of(config, one_node()).on_node().value, 4);
}

TEST(TensorflowCounts, AgreeWithTheCountOrAreRefused) {
  config::RunConfig config = roles(3, 1);
  config.process_count_per_node = {2, from_line(4, 25, "process_count_per_node: 2")};
  const Error error = error_of(config, one_node());
  EXPECT_EQ(error.message, "process_count_per_node is 2 and the tensorflow roles need 4");
  EXPECT_EQ(error.location->line, 4);
  config.process_count_per_node.value = 4;
  EXPECT_EQ(counts_of(config, one_node()).on_node().value, 4);
}

TEST(TensorflowCounts, NeedABackend) {
  config::RunConfig config = roles(2, 0);
  config.distributed_backend = {};
  EXPECT_EQ(error_of(config, one_node()).message,
            "the run has 2 processes and distributed_backend is none");
}

}  // namespace
}  // namespace muster::plan
