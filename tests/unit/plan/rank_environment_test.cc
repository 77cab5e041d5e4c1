#include "launcher/plan/rank_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/batch_directories.h"
#include "launcher/plan/environment_names.h"
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

StartValues start_values() {
  StartValues start;
  start.run_id = "digits-1";
  start.master_port = "29400";
  start.service_port = "29401";
  start.data_directory = "/run/data";
  start.node_directory = "/runs/1/.node";
  start.streams_directory = "/runs/1/ranks";
  return start;
}

const StartValues kStart = start_values();

class RankEnvironment : public ::testing::Test {
 protected:
  void use(const std::string& machine_name, int processes,
           config::Backend backend = config::Backend::kMpi) {
    config_ = script_config(processes, backend);
    inputs_ = inputs_for(machine(machine_name));
  }
  void config_sets(const std::string& name, const std::string& value) {
    config_.environment_variables.emplace_back(
        name, config::Setting<std::string>{value, from_line(9, 5, name + ": " + value)});
  }
  void caller_has(const std::string& name, const std::string& value) {
    inputs_.caller_environment[name] = value;
  }
  LaunchPlan plan() {
    auto plan = make_plan(config_, inputs_, kStart);
    EXPECT_TRUE(plan) << plan.error().message;
    return plan ? *plan : LaunchPlan{};
  }
  Environment of_rank(int rank) { return complete_rank_environment(plan(), inputs_, rank); }
  Environment of_mpirun() { return mpirun_environment(plan(), inputs_); }

  config::RunConfig config_;
  PlanInputs inputs_;
};

TEST_F(RankEnvironment, SaysWhoTheRankIsInEveryFamily) {
  use("server-2x16", 4);
  EXPECT_THAT(
      of_rank(3),
      IsSupersetOf({Pair("RANK", "3"), Pair("LOCAL_RANK", "3"), Pair("WORLD_SIZE", "4"),
                    Pair("LOCAL_WORLD_SIZE", "4"), Pair("NODE_RANK", "0"), Pair("GROUP_RANK", "0"),
                    Pair("AZUREML_CR_NODE_RANK", "0"), Pair("AZUREML_PROCESS_NAME", "rank_3"),
                    Pair("AZ_BATCHAI_TASK_INDEX", "3"), Pair("AZ_BATCHAI_NUM_GPUS", "0"),
                    Pair("AZ_BATCH_IS_CURRENT_NODE_MASTER", "true")}));
}

TEST_F(RankEnvironment, SaysWhereTheOthersAreInEveryFamily) {
  use("server-2x16", 2);
  EXPECT_THAT(
      of_rank(1),
      IsSupersetOf({Pair("MASTER_ADDR", "127.0.0.1"), Pair("MASTER_PORT", "29400"),
                    Pair("AZ_BATCH_MASTER_NODE", "127.0.0.1:29401"),
                    Pair("AZ_BATCH_HOST_LIST", "127.0.0.1"), Pair("CCP_NODES", "1 127.0.0.1 32"),
                    Pair("AZ_BATCHAI_PYTORCH_INIT_METHOD", "tcp://127.0.0.1:29400"),
                    Pair("AZ_BATCH_NODE_LIST", "127.0.0.1"),
                    Pair("AZ_BATCHAI_MPI_MASTER_NODE", "localhost"),
                    Pair("AZ_BATCHAI_JOB_MASTER_NODE_IP", "127.0.0.1"),
                    Pair("NCCL_SOCKET_IFNAME", "lo"), Pair("GLOO_SOCKET_IFNAME", "lo")}));
}

// Older copies of a helper script take it for MASTER_PORT, so it is a port of the run's own; in
// Azure it belongs to a service, and whoever listens on MASTER_PORT is never in its way.
TEST_F(RankEnvironment, TheServicePortIsNotMasterPort) {
  use("server-2x16", 2);
  config_sets("MASTER_PORT", "6105");
  config_sets("MASTER_ADDR", "192.0.2.7");
  EXPECT_THAT(of_rank(0), IsSupersetOf({Pair("AZ_BATCH_MASTER_NODE", "192.0.2.7:29401"),
                                        Pair("AZ_BATCH_HOST_LIST", "127.0.0.1")}));
  config_sets("AZ_BATCH_MASTER_NODE", "192.0.2.8:6000");
  EXPECT_THAT(of_rank(0), Contains(Pair("AZ_BATCH_MASTER_NODE", "192.0.2.8:6000")));
}

TEST_F(RankEnvironment, NamesDirectoriesThatTheStartMakes) {
  use("server-2x16", 2);
  const BatchDirectories made(kStart.node_directory);
  std::vector<std::string> known = made.all();
  known.insert(known.end(), {made.host_file, kStart.data_directory, kStart.streams_directory,
                             plan().working_directory});
  int named = 0;
  for (const auto& [name, value] : of_rank(1)) {
    if (!value.starts_with("/") || name == "PATH") continue;
    EXPECT_THAT(known, Contains(value)) << name;
    ++named;
  }
  EXPECT_EQ(named, 15);
  EXPECT_EQ(host_file_text(plan()), "127.0.0.1 slots=2\n");
}

TEST_F(RankEnvironment, WorkingDirectoriesAreTheRanksOwn) {
  use("laptop-4c8t", 2);
  config_.source_directory = {"src", {}};
  auto early = make_plan(config_, inputs_);
  ASSERT_TRUE(early);
  StartValues start = kStart;
  start.working_directory = "/runs/1/scratch/src";
  set_start_values(*early, config_, start);
  EXPECT_THAT(complete_rank_environment(*early, inputs_, 0),
              IsSupersetOf({Pair("AZ_BATCH_TASK_WORKING_DIR", "/runs/1/scratch/src"),
                            Pair("AZ_BATCHAI_JOB_WORK_DIR", "/runs/1/scratch/src")}));
}

// A token or a workspace that does not exist would make scripts talk to a service, and fail.
TEST_F(RankEnvironment, InventsNothingOfAzures) {
  use("server-2x16", 2);
  for (const auto& [name, value] : of_rank(0)) {
    for (const char* part : {"TOKEN", "ARM_", "SUBSCRIPTION", "MLFLOW", "EXPERIMENT"}) {
      EXPECT_THAT(name, Not(HasSubstr(part)));
    }
  }
}

TEST_F(RankEnvironment, NamesTheRun) {
  use("server-2x16", 2);
  EXPECT_THAT(of_rank(0),
              IsSupersetOf({Pair("MUSTER_RUN_ID", "digits-1"), Pair("AZUREML_RUN_ID", "digits-1"),
                            Pair("TORCHELASTIC_RUN_ID", "digits-1"),
                            Pair("TORCHELASTIC_RESTART_COUNT", "0"),
                            Pair("TORCHELASTIC_MAX_RESTARTS", "0")}));
}

TEST_F(RankEnvironment, SaysWhatTorchrunWouldSay) {
  use("server-2x16", 4);
  EXPECT_THAT(of_rank(3), IsSupersetOf({Pair("GROUP_WORLD_SIZE", "1"), Pair("ROLE_NAME", "default"),
                                        Pair("ROLE_RANK", "3"), Pair("ROLE_WORLD_SIZE", "4"),
                                        Pair("TORCHELASTIC_USE_AGENT_STORE", "False"),
                                        Pair("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")}));
  caller_has("TORCH_NCCL_ASYNC_ERROR_HANDLING", "3");
  EXPECT_THAT(of_rank(3), Contains(Pair("TORCH_NCCL_ASYNC_ERROR_HANDLING", "3")));
}

TEST_F(RankEnvironment, MakesATorchrunOfARankOneNodeOfItsWorld) {
  use("server-2x16", 4);
  config_.run.value = config::Program{{"torchrun", "--nproc_per_node", "1", "train.py"}};
  EXPECT_THAT(of_rank(3), IsSupersetOf({Pair("PET_NNODES", "4"), Pair("PET_NODE_RANK", "3"),
                                        Pair("PET_MASTER_ADDR", "127.0.0.1"),
                                        Pair("PET_MASTER_PORT", "29400")}));
  config_sets("MASTER_PORT", "6105");
  EXPECT_THAT(of_rank(3), Contains(Pair("PET_MASTER_PORT", "6105")));
  auto early = make_plan(config_, inputs_);
  ASSERT_TRUE(early);
  set_start_values(*early, config_, kStart);
  EXPECT_EQ(complete_rank_environment(*early, inputs_, 3), of_rank(3));
}

TEST_F(RankEnvironment, TellsNoOtherProgramOfTorchrunsOptions) {
  use("server-2x16", 2);
  for (const std::vector<std::string>& argv : {std::vector<std::string>{"python3", "train.py"},
                                               {"torchrun", "--standalone", "train.py"}}) {
    config_.run.value = config::Program{argv};
    for (const auto& [name, value] : of_rank(0)) EXPECT_THAT(name, Not(HasSubstr("PET_")));
  }
}

TEST_F(RankEnvironment, WarnsOfWorldsThatDoNotMeet) {
  use("server-2x16", 2);
  config_.run.value = config::Program{{"deepspeed", "train.py"}};
  EXPECT_THAT(plan().warnings,
              Contains(HasSubstr("each of the 2 ranks starts a world of its own")));
  config_.run.value = config::Program{{"deepspeed", "--no_ssh", "train.py"}};
  EXPECT_THAT(plan().warnings, Not(Contains(HasSubstr("world of its own"))));
  config_.run.value = config::Program{{"torchrun", "--standalone", "train.py"}};
  EXPECT_THAT(plan().warnings, Contains(HasSubstr("all on the same port with older torch")));
  config_.run.value = config::Program{{"torchrun", "--rdzv_endpoint=localhost:0", "train.py"}};
  EXPECT_THAT(plan().warnings, Not(Contains(HasSubstr("world of its own"))));
  use("server-2x16", 1);
  config_.run.value = config::Program{{"torchrun", "--standalone", "train.py"}};
  EXPECT_THAT(plan().warnings, Not(Contains(HasSubstr("world of its own"))));
  config_.run.value = config::Program{{"deepspeed", "train.py"}};
  EXPECT_THAT(plan().warnings, Not(Contains(HasSubstr("world of its own"))));
}

TEST_F(RankEnvironment, InventsNoMpiIdentity) {
  use("server-2x16", 2, config::Backend::kDirect);
  for (const auto& [name, value] : of_rank(0)) {
    EXPECT_THAT(name, Not(HasSubstr("OMPI_")));
    EXPECT_THAT(name, Not(HasSubstr("PMIX_")));
  }
}

TEST_F(RankEnvironment, EmulatesOpenMpisNamesWhenAsked) {
  use("server-2x16", 4, config::Backend::kDirect);
  config_.mpi_identity.value = config::MpiIdentity::kEmulate;
  EXPECT_THAT(
      of_rank(3),
      IsSupersetOf({Pair("OMPI_COMM_WORLD_RANK", "3"), Pair("OMPI_COMM_WORLD_SIZE", "4"),
                    Pair("OMPI_COMM_WORLD_LOCAL_RANK", "3"),
                    Pair("OMPI_COMM_WORLD_LOCAL_SIZE", "4"), Pair("OMPI_COMM_WORLD_NODE_RANK", "3"),
                    Pair("OMPI_UNIVERSE_SIZE", "4"), Pair("PMI_RANK", "3"), Pair("PMI_SIZE", "4"),
                    Pair("MPI_LOCALRANKID", "3"), Pair("MPI_LOCALNRANKS", "4")}));
  EXPECT_THAT(of_rank(0), Not(Contains(Key("PMIX_RANK"))));
}

TEST_F(RankEnvironment, LeavesMpirunsNamesToMpirun) {
  use("server-2x16", 4);
  config_.mpi_identity.value = config::MpiIdentity::kEmulate;
  EXPECT_THAT(of_rank(3), Contains(Pair("PMI_RANK", "3")));
  EXPECT_THAT(of_rank(3), Not(Contains(Key("OMPI_COMM_WORLD_RANK"))));
}

TEST_F(RankEnvironment, CountsThreadsAsWholeCores) {
  use("laptop-4c8t", 2);
  EXPECT_EQ(of_rank(0)["OMP_NUM_THREADS"], "2");
}

TEST_F(RankEnvironment, CapsThreadsByTheRanksPartOfTheQuota) {
  use("server-2x16", 4);
  inputs_.nodes[0].cpu_quota = 10;
  EXPECT_EQ(of_rank(0)["OMP_NUM_THREADS"], "2");
  inputs_.nodes[0].cpu_quota = 0.5;
  EXPECT_EQ(of_rank(0)["OMP_NUM_THREADS"], "1");
}

TEST_F(RankEnvironment, UsesOneThreadWhenOversubscribed) {
  use("laptop-4c8t", 9);
  EXPECT_EQ(of_rank(8)["OMP_NUM_THREADS"], "1");
}

TEST_F(RankEnvironment, DefaultsGiveWayToTheCaller) {
  use("laptop-4c8t", 2);
  caller_has("OMP_NUM_THREADS", "7");
  caller_has("NCCL_DEBUG", "INFO");
  caller_has("PYTHONUNBUFFERED", "");
  caller_has("NCCL_SOCKET_IFNAME", "eth0");
  EXPECT_THAT(of_rank(0),
              IsSupersetOf({Pair("OMP_NUM_THREADS", "7"), Pair("NCCL_DEBUG", "INFO"),
                            Pair("PYTHONUNBUFFERED", ""), Pair("NCCL_SOCKET_IFNAME", "eth0")}));
}

TEST_F(RankEnvironment, ConfigWinsOverMusterAndTheCaller) {
  use("laptop-4c8t", 2);
  caller_has("OMP_NUM_THREADS", "7");
  caller_has("COLOUR", "red");
  config_sets("OMP_NUM_THREADS", "3");
  config_sets("COLOUR", "blue");
  config_sets("MASTER_PORT", "6105");
  EXPECT_THAT(of_rank(1),
              IsSupersetOf({Pair("OMP_NUM_THREADS", "3"), Pair("COLOUR", "blue"),
                            Pair("MASTER_PORT", "6105"),
                            Pair("AZ_BATCHAI_PYTORCH_INIT_METHOD", "tcp://127.0.0.1:6105")}));
}

TEST_F(RankEnvironment, HoldsNothingOfTheCallersInThePlan) {
  use("laptop-4c8t", 1);
  caller_has("SECRET_TOKEN", "x");
  for (const EnvironmentVariable& variable : plan().common_environment) {
    EXPECT_NE(variable.name, "SECRET_TOKEN");
  }
  EXPECT_THAT(of_rank(0), Contains(Pair("SECRET_TOKEN", "x")));
}

TEST_F(RankEnvironment, DropsStaleIdentityAndKeepsTheSchedulers) {
  use("laptop-4c8t", 2);
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_SIZE", "LOCAL_SIZE",
                           "ROLE_RANK", "TORCHELASTIC_USE_AGENT_STORE", "MUSTER_NODE_SOCKET",
                           "RANK", "PET_NNODES", "PET_RDZV_ENDPOINT", "TF_CONFIG"}) {
    caller_has(name, "stale");
  }
  caller_has("SLURM_JOB_ID", "17");
  caller_has("PET_LOG_DIR", "/logs");
  caller_has("MUSTER_RUNS_DIR", "/data/runs");
  const Environment environment = of_rank(0);
  for (const auto& [name, value] : environment) EXPECT_NE(value, "stale") << name;
  EXPECT_THAT(environment,
              IsSupersetOf({Pair("SLURM_JOB_ID", "17"), Pair("RANK", "0"),
                            Pair("PET_LOG_DIR", "/logs"), Pair("MUSTER_RUNS_DIR", "/data/runs")}));
  EXPECT_THAT(plan().dropped_from_ranks,
              ElementsAre("LOCAL_SIZE", "MUSTER_NODE_SOCKET", "OMPI_COMM_WORLD_RANK", "PET_NNODES",
                          "PET_RDZV_ENDPOINT", "PMIX_RANK", "PMI_SIZE", "RANK", "ROLE_RANK",
                          "TF_CONFIG", "TORCHELASTIC_USE_AGENT_STORE"));
}

TEST_F(RankEnvironment, RefusesAConfigThatSetsIdentity) {
  use("laptop-4c8t", 1);
  config_sets("RANK", "0");
  const auto plan = make_plan(config_, inputs_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kConfig);
  EXPECT_EQ(plan.error().message,
            "cannot set RANK to \"0\" for every rank: it tells each rank who it is");
  EXPECT_EQ(plan.error().location->line, 9);
}

TEST_F(RankEnvironment, StartValuesReachAPlanThatWasMadeWithoutThem) {
  use("laptop-4c8t", 2);
  auto early = make_plan(config_, inputs_);
  ASSERT_TRUE(early);
  EXPECT_EQ(complete_rank_environment(*early, inputs_, 0)["MASTER_PORT"], "<set at start>");
  set_start_values(*early, config_, kStart);
  EXPECT_EQ(complete_rank_environment(*early, inputs_, 0), of_rank(0));
}

TEST_F(RankEnvironment, StartValuesLeaveWhatTheConfigSet) {
  use("laptop-4c8t", 2);
  config_sets("MASTER_PORT", "6105");
  config_sets("AZUREML_RUN_ID", "mine");
  auto early = make_plan(config_, inputs_);
  ASSERT_TRUE(early);
  set_start_values(*early, config_, kStart);
  EXPECT_THAT(complete_rank_environment(*early, inputs_, 0),
              IsSupersetOf({Pair("MASTER_PORT", "6105"), Pair("AZUREML_RUN_ID", "mine"),
                            Pair("AZ_BATCHAI_PYTORCH_INIT_METHOD", "tcp://127.0.0.1:6105")}));
}

TEST_F(RankEnvironment, MpirunGetsNothingOfASurroundingJob) {
  use("laptop-4c8t", 2);
  for (const char* name : {"SLURM_JOBID", "PBS_NODEFILE", "LSB_JOBID", "LOADL_STEP_ID", "SGE_ROOT",
                           "PE_HOSTFILE", "FLUX_JOB_ID", "PMI_RANK", "PMIX_NAMESPACE", "PRTE_X",
                           "OMPI_MCA_ess", "MPIEXEC_TIMEOUT", "MUSTER_NODE_SOCKET"}) {
    caller_has(name, "stale");
  }
  const Environment environment = of_mpirun();
  for (const auto& [name, value] : environment) EXPECT_NE(value, "stale") << name;
  EXPECT_THAT(environment, Contains(Pair("PATH", "/usr/bin:/bin")));
  EXPECT_EQ(plan().dropped_from_mpirun.size(), 13U);
}

TEST_F(RankEnvironment, MpirunGetsTheConfigsMpiSettings) {
  use("laptop-4c8t", 2);
  caller_has("OMPI_MCA_btl", "stale");
  config_sets("OMPI_MCA_btl", "self,vader");
  config_sets("COLOUR", "blue");
  EXPECT_THAT(of_mpirun(), Contains(Pair("OMPI_MCA_btl", "self,vader")));
  EXPECT_THAT(of_mpirun(), Not(Contains(Key("COLOUR"))));
}

TEST_F(RankEnvironment, WhereAMovedInstallationLiesReachesMpirunWhichTellsTheRanks) {
  use("laptop-4c8t", 2);
  for (const char* name : {"OPAL_PREFIX", "PMIX_PREFIX", "PRTE_PREFIX"}) {
    caller_has(name, "/moved");
    EXPECT_THAT(of_mpirun(), Contains(Pair(name, "/moved")));
    EXPECT_THAT(of_rank(0), Not(Contains(Key(name))));
  }
  EXPECT_THAT(plan().dropped_from_mpirun, ElementsAre());
}

TEST_F(RankEnvironment, WhereASurroundingMpirunLiesReachesNoOtherMpirun) {
  use("laptop-4c8t", 2);
  caller_has("OMPI_COMM_WORLD_RANK", "0");
  caller_has("OPAL_PREFIX", "/moved");
  inputs_.mpirun->executable = "/usr/bin/mpirun";
  EXPECT_THAT(of_mpirun(), Not(Contains(Key("OPAL_PREFIX"))));
  EXPECT_THAT(plan().dropped_from_mpirun, ElementsAre("OMPI_COMM_WORLD_RANK", "OPAL_PREFIX"));
  inputs_.mpirun->executable = "/moved/bin/mpirun";
  EXPECT_THAT(of_mpirun(), Contains(Pair("OPAL_PREFIX", "/moved")));
}

TEST_F(RankEnvironment, WithoutMpirunTheCallersInstallationReachesTheRanks) {
  use("laptop-4c8t", 2, config::Backend::kDirect);
  inputs_.mpirun.reset();
  caller_has("OPAL_PREFIX", "/moved");
  EXPECT_THAT(of_rank(0), Contains(Pair("OPAL_PREFIX", "/moved")));
}

TEST_F(RankEnvironment, MpirunsOwnVariablesGiveWayToTheCallerAndStayOutOfRanks) {
  use("laptop-4c8t", 2);
  EXPECT_THAT(of_mpirun(), Contains(Pair("HWLOC_PLUGINS_PATH", "/dev/null")));
  EXPECT_THAT(of_rank(0), Not(Contains(Key("HWLOC_PLUGINS_PATH"))));
  caller_has("HWLOC_PLUGINS_PATH", "/opt/hwloc");
  EXPECT_THAT(of_mpirun(), Contains(Pair("HWLOC_PLUGINS_PATH", "/opt/hwloc")));
}

TEST(EnvironmentNames, MatchWholeNamesAndListedPrefixesOnly) {
  EXPECT_TRUE(is_dropped_from_ranks("RANK"));
  EXPECT_FALSE(is_dropped_from_ranks("RANKING"));
  EXPECT_FALSE(is_dropped_from_ranks("PMIXED"));
  EXPECT_TRUE(is_dropped_from_ranks("PMIX_ANYTHING"));
  EXPECT_FALSE(is_dropped_from_mpirun("SLURMISH"));
}

}  // namespace
}  // namespace muster::plan
