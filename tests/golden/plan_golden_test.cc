// Compares whole plans with the reviewed ones beside this file.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>

#include <gtest/gtest.h>

#include "base/files.h"
#include "launcher/plan/plan_json.h"
#include "launcher/plan/plan_text.h"
#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

using config::Backend;

struct Sample {
  std::string file;  // its extension is the format: txt, json, argv
  std::string machine;
  int processes;
  Backend backend;
  std::function<void(config::RunConfig&, PlanInputs&)> change = [](auto&, auto&) {};
};

// What GoogleTest shows for a sample.
void PrintTo(const Sample& sample, std::ostream* out) {
  *out << sample.file;
}

void one_core_each(config::RunConfig& config, PlanInputs&) {
  config.resources.cores_per_process = {1, from_line(6, 32, "resources: {cores_per_process: 1}")};
}

// Stale names of a surrounding job, a config that sets variables, a quota, a copied source.
void in_a_job(config::RunConfig& config, PlanInputs& inputs) {
  inputs.running_as_root = true;
  inputs.caller_environment["SLURM_JOBID"] = "17";
  inputs.caller_environment["OMPI_COMM_WORLD_RANK"] = "3";
  inputs.caller_environment["NCCL_DEBUG"] = "INFO";
  inputs.nodes[0].cpu_quota = 6.0;
  config.source_directory = {"./src", from_line(2, 19, "source_directory: ./src")};
  config.environment_variables.emplace_back(
      "OMPI_MCA_btl", config::Setting<std::string>{"self,vader", from_line(9, 5, "…")});
}

void open_mpi_5(config::RunConfig&, PlanInputs& inputs) {
  inputs.mpirun = MpirunIdentity{"/opt/openmpi/bin/mpirun", "5.0.11", 5, 0};
}

// Two nodes with interfaces of different names, before they have met.
void two_nodes(config::RunConfig& config, PlanInputs& inputs) {
  config.node_count = {2, from_line(8, 13, "node_count: 2")};
  inputs.nodes[0].hostname = "node-a";
  inputs.nodes.push_back(machine("server-2x16"));
  inputs.nodes[1].hostname = "node-b";
}

void two_nodes_met(config::RunConfig& config, PlanInputs& inputs) {
  two_nodes(config, inputs);
  inputs.network = cluster::NetworkChoice{
      {"10.7.0.0/24"},
      false,
      {{"10.7.0.4", "eth0"}, {"10.7.0.5", "ens3"}},
      {{"network 10.7.0.0/24",
        "eth0 of node-a, ens3 of node-b: each address was reached by "
        "another node"},
       {"not used: 172.17.0.0/16 (docker0)", "all nodes: several nodes have it"}}};
}

void two_nodes_by_ipv6(config::RunConfig& config, PlanInputs& inputs) {
  two_nodes_met(config, inputs);
  open_mpi_5(config, inputs);
  inputs.network->ipv6 = true;
  inputs.network->cidrs = {"fd00::/64"};
  inputs.network->nodes = {{"fd00::4", "eth0"}, {"fd00::5", "eth0"}};
}

// The second of them, for itself.
void part_of_two_nodes(config::RunConfig& config, PlanInputs& inputs) {
  two_nodes_met(config, inputs);
  const auto whole = make_plan(config, inputs);
  ASSERT_TRUE(whole) << whole.error().message;
  inputs.part = part_of(*whole, 1);
  inputs.network.reset();
  inputs.nodes.erase(inputs.nodes.begin());
}

void a_command(config::RunConfig& config, PlanInputs&) {
  config.run.value = config::ShellCommand{"python train.py --lr 0.1"};
  config.script_params.clear();
  config.extra_arguments = {"--name", "two words"};
}

void automatic(config::RunConfig& config, PlanInputs&) {
  config.process_count_per_node.value = std::nullopt;
}

std::vector<Sample> samples() {
  return {
      {"laptop_mpi.txt", "laptop-4c8t", 2, Backend::kMpi},
      {"laptop_mpi.json", "laptop-4c8t", 2, Backend::kMpi},
      {"laptop_mpi.argv", "laptop-4c8t", 2, Backend::kMpi},
      {"laptop_oversubscribed.txt", "laptop-4c8t", 9, Backend::kMpi},
      {"laptop_oversubscribed.argv", "laptop-4c8t", 9, Backend::kMpi},
      {"open_mpi_5.txt", "laptop-4c8t", 2, Backend::kMpi, open_mpi_5},
      {"open_mpi_5.argv", "laptop-4c8t", 2, Backend::kMpi, open_mpi_5},
      {"open_mpi_5_oversubscribed.argv", "laptop-4c8t", 9, Backend::kMpi, open_mpi_5},
      {"single_process.txt", "single-core", 1, Backend::kNone},
      {"two_nodes_before_they_meet.txt", "laptop-4c8t", 2, Backend::kMpi, two_nodes},
      {"two_nodes.txt", "laptop-4c8t", 2, Backend::kMpi, two_nodes_met},
      {"two_nodes.json", "laptop-4c8t", 2, Backend::kMpi, two_nodes_met},
      {"two_nodes.argv", "laptop-4c8t", 2, Backend::kMpi, two_nodes_met},
      {"two_nodes_by_ipv6.argv", "laptop-4c8t", 2, Backend::kMpi, two_nodes_by_ipv6},
      {"two_nodes_part.txt", "laptop-4c8t", 2, Backend::kDirect, part_of_two_nodes},
      {"command.argv", "server-2x16", 4, Backend::kDirect, a_command},
      {"numa_auto.txt", "numa-4x6", 1, Backend::kDirect, automatic},
      {"odd_4.txt", "odd-3x5", 4, Backend::kDirect},
      {"dgx_8.txt", "dgx-a100-8x16", 8, Backend::kMpi},
      {"cpuset_one_core.json", "cpuset-2x4", 3, Backend::kDirect, one_core_each},
      {"server_in_a_job.txt", "server-2x16", 4, Backend::kMpi, in_a_job},
      {"server_in_a_job.json", "server-2x16", 4, Backend::kMpi, in_a_job},
  };
}

std::string printed(const LaunchPlan& plan, const std::string& file) {
  if (file.ends_with(".json")) return plan_json(plan);
  if (file.ends_with(".argv")) return plan_argv(plan);
  return plan_text(plan);
}

class PlanGolden : public ::testing::TestWithParam<Sample> {};

TEST_P(PlanGolden, IsWhatWasReviewed) {
  const Sample& sample = GetParam();
  config::RunConfig config = script_config(sample.processes, sample.backend);
  PlanInputs inputs = inputs_for(machine(sample.machine));
  sample.change(config, inputs);
  const auto plan = make_plan(config, inputs);
  ASSERT_TRUE(plan) << plan.error().message;
  const std::string text = printed(*plan, sample.file);

  const std::string path = std::string(MUSTER_GOLDEN_DIRECTORY) + "/" + sample.file;
  if (std::getenv("MUSTER_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  const auto reviewed = read_file(path);
  ASSERT_TRUE(reviewed) << reviewed.error().message;
  EXPECT_EQ(text, *reviewed) << "MUSTER_UPDATE_GOLDEN=1 rewrites " << path;
}

std::string test_name(const ::testing::TestParamInfo<Sample>& sample) {
  std::string name = sample.param.file;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Reviewed, PlanGolden, ::testing::ValuesIn(samples()), test_name);

}  // namespace
}  // namespace muster::plan
