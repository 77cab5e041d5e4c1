// Which node of which run: what each scheduler's documentation says it sets, and what it must not.
#include "launcher/cluster/membership.h"

#include <gtest/gtest.h>

#include "launcher/cluster/host_list.h"

namespace muster::cluster {
namespace {

using Environment = std::map<std::string, std::string>;

Surroundings on(const std::string& hostname, Environment environment) {
  Surroundings around;
  around.hostname = hostname;
  around.environment = std::move(environment);
  around.now = 1'700'000'000;
  return around;
}

MembershipFlags asks_for(int nodes) {
  MembershipFlags flags;
  flags.nodes = nodes;
  flags.nodes_origin = "node_count";
  return flags;
}

struct Want {
  int nodes;
  int rank;
  std::string head;
  int port;
  std::string job;
};

void expect(const Result<Membership>& found, const Want& want) {
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->node_count.value, want.nodes);
  EXPECT_EQ(found->node_rank.value, want.rank);
  EXPECT_EQ(found->head_address.value, want.head);
  EXPECT_EQ(found->port.value, want.port);
  EXPECT_EQ(found->job_id.value, want.job);
}

std::string error_of(const Result<Membership>& found) {
  return found ? "no error" : found.error().message + " | " + found.error().hint;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

Environment slurm_step() {
  return {{"SLURM_JOB_ID", "4711"},      {"SLURM_STEP_ID", "0"},
          {"SLURM_JOB_NUM_NODES", "3"},  {"SLURM_STEP_NUM_NODES", "3"},
          {"SLURM_STEP_NUM_TASKS", "3"}, {"SLURM_STEP_NODELIST", "gpu[003-004,9]"},
          {"SLURM_NODEID", "1"},         {"SLURM_JOB_END_TIME", "1700003600"}};
}

TEST(HostList, ExpandsWhatSlurmWrites) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(*expand_host_list("a"), Names({"a"}));
  EXPECT_EQ(*expand_host_list("gpu[003-005,9],cpu1"),
            Names({"gpu003", "gpu004", "gpu005", "gpu9", "cpu1"}));
  EXPECT_EQ(*expand_host_list("r[1-2]n[1-2]-x"), Names({"r1n1-x", "r1n2-x", "r2n1-x", "r2n2-x"}));
  EXPECT_EQ(*expand_host_list("n[08-11]"), Names({"n08", "n09", "n10", "n11"}));
  EXPECT_EQ(expand_host_list("n[1-12500]")->size(), 12'500U);
}

TEST(HostList, RefusesWhatMakesNoSense) {
  for (const char* list :
       {"", ",", "a,", "a[", "a]", "a[]", "a[3-1]", "a[1-999999999]", "a[1-99999]b[1-99999]",
        "a[x]", "a[1-2-3]", "a[-1]", "a[1,]", "a[[1]]", "a[99999999999999999999]"}) {
    EXPECT_FALSE(expand_host_list(list)) << list;
  }
}

TEST(Membership, OfSlurm) {
  const auto found = membership_of(asks_for(3), on("gpu004", slurm_step()));
  expect(found, {3, 1, "gpu003", 24711, "4711.0.0"});
  EXPECT_EQ(found->scheduler, "Slurm");
  EXPECT_EQ(found->time_left->value, std::chrono::hours(1));
  EXPECT_EQ(membership_text(*found),
            "node rank 1 (SLURM_NODEID) of 3 (node_count), head gpu003 (SLURM_STEP_NODELIST), port "
            "24711 (SLURM_JOB_ID), job 4711.0.0 (SLURM_JOB_ID), ends in 1 h 00 min (SLURM_JOB_END_TIME)");
}

TEST(Membership, OfASlurmJobThatWasRequeuedIsAnotherRun) {
  Environment again = slurm_step();
  again["SLURM_RESTART_COUNT"] = "2";
  expect(membership_of(asks_for(3), on("gpu004", again)), {3, 1, "gpu003", 24711, "4711.0.2"});
}

TEST(Membership, PortsOfSlurmJobsStayBelowThoseOfOutgoingConnections) {
  Environment large = slurm_step();
  large["SLURM_JOB_ID"] = "99999999";
  const auto found = membership_of(asks_for(3), on("gpu004", large));
  ASSERT_TRUE(found);
  EXPECT_GE(found->port.value, 20'000);
  EXPECT_LT(found->port.value, 32'768);
}

TEST(Membership, OutsideOfAStepSlurmSaysWhatToDo) {
  const std::string error = error_of(membership_of(
      asks_for(3), on("gpu003", {{"SLURM_JOB_ID", "1"}, {"SLURM_JOB_NUM_NODES", "3"}})));
  EXPECT_TRUE(has(error, "nothing says where they meet")) << error;
  EXPECT_TRUE(has(error, "srun --ntasks-per-node=1")) << error;
}

TEST(Membership, ContradictionsNameBothOrigins) {
  std::string error = error_of(membership_of(asks_for(4), on("gpu004", slurm_step())));
  EXPECT_TRUE(has(error, "4 (node_count) and 3 (SLURM_STEP_NUM_NODES)")) << error;
  MembershipFlags flags = asks_for(3);
  flags.node_rank = 2;
  error = error_of(membership_of(flags, on("gpu004", slurm_step())));
  EXPECT_TRUE(has(error, "2 (--node-rank) and 1 (SLURM_NODEID)")) << error;
  Environment two = slurm_step();
  two["JOB_COMPLETION_INDEX"] = "0";
  error = error_of(membership_of(asks_for(3), on("gpu004", two)));
  EXPECT_TRUE(has(error, "1 (SLURM_NODEID) and 0 (JOB_COMPLETION_INDEX)")) << error;
  Environment list = slurm_step();
  list["SLURM_STEP_NODELIST"] = "gpu[1-2]";
  error = error_of(membership_of(asks_for(3), on("gpu004", list)));
  EXPECT_TRUE(has(error, "SLURM_STEP_NODELIST names 2 nodes")) << error;
  Environment tasks = slurm_step();
  tasks["SLURM_STEP_NUM_TASKS"] = "24";
  error = error_of(membership_of(asks_for(3), on("gpu004", tasks)));
  EXPECT_TRUE(has(error, "24 launchers (SLURM_STEP_NUM_TASKS) on 3 nodes")) << error;
}

TEST(Membership, RendezvousAndNodeRankStandAlone) {
  MembershipFlags flags = asks_for(2);
  flags.node_rank = 0;
  flags.rendezvous = "[fd00::1]:7000";
  const auto found = membership_of(flags, on("gpu004", slurm_step()));
  expect(found, {2, 0, "fd00::1", 7000, ""});
  ASSERT_EQ(found->notes.size(), 1U);
  EXPECT_TRUE(has(found->notes[0], "Slurm calls this node rank 1 (SLURM_NODEID)"));
}

TEST(Membership, RendezvousWithAScheduler) {
  MembershipFlags flags = asks_for(3);
  flags.rendezvous = "file:/shared/address";
  const auto found = membership_of(flags, on("gpu004", slurm_step()));
  expect(found, {3, 1, "", 0, "4711.0.0"});
  EXPECT_EQ(found->address_file->value, "/shared/address");
}

TEST(Membership, OfAnIndexedJob) {
  const Surroundings pod = on("train-2", {{"JOB_COMPLETION_INDEX", "2"}});
  const std::string error = error_of(membership_of(asks_for(3), pod));
  EXPECT_TRUE(has(error, "--rendezvous train-0.SERVICE")) << error;
  MembershipFlags flags = asks_for(3);
  flags.rendezvous = "train-0.train";
  expect(membership_of(flags, pod), {3, 2, "train-0.train", kDefaultPort, ""});
}

TEST(Membership, OfAJobSet) {
  expect(membership_of(asks_for(4), on("llm-workers-0-3",
                                       {{"JOB_COMPLETION_INDEX", "3"}, {"JOBSET_NAME", "llm"}})),
         {4, 3, "llm-workers-0-0.llm", kDefaultPort, ""});
}

TEST(Membership, OfAnMpiJob) {
  expect(membership_of(asks_for(3), on("pi-launcher", {{"K_MPI_JOB_ROLE", "launcher"}})),
         {3, 0, "pi-launcher.pi", kDefaultPort, "pi"});
  expect(membership_of(asks_for(3), on("pi-worker-1", {{"K_MPI_JOB_ROLE", "worker"}})),
         {3, 2, "pi-launcher.pi", kDefaultPort, "pi"});
  const std::string error =
      error_of(membership_of(asks_for(3), on("other", {{"K_MPI_JOB_ROLE", "worker"}})));
  EXPECT_TRUE(has(error, "runLauncherAsWorker")) << error;
}

TEST(Membership, OfAPyTorchJob) {
  Environment pod = {{"PET_NNODES", "2"},
                     {"PET_NODE_RANK", "1"},
                     {"PET_MASTER_ADDR", "llm-master-0"},
                     {"PET_MASTER_PORT", "23456"},
                     {"MASTER_ADDR", "llm-master-0"},
                     {"WORLD_SIZE", "16"},
                     {"RANK", "1"}};
  expect(membership_of(asks_for(2), on("llm-worker-0", pod)),
         {2, 1, "llm-master-0", kDefaultPort, ""});
  pod["PET_NNODES"] = "1:4";
  const std::string error = error_of(membership_of(asks_for(2), on("llm-worker-0", pod)));
  EXPECT_TRUE(has(error, "grow and shrink")) << error;
  expect(membership_of(asks_for(2), on("llm-master-0", {{"KUBERNETES_SERVICE_HOST", "10.0.0.1"},
                                                        {"MASTER_ADDR", "localhost"},
                                                        {"WORLD_SIZE", "2"},
                                                        {"RANK", "0"}})),
         {2, 0, "llm-master-0", kDefaultPort, ""});
}

TEST(Membership, OfSageMaker) {
  expect(membership_of(asks_for(2), on("algo-2", {{"SM_HOSTS", R"(["algo-1","algo-2"])"},
                                                  {"SM_CURRENT_HOST", "algo-2"},
                                                  {"TRAINING_JOB_NAME", "job-7"}})),
         {2, 1, "algo-1", kDefaultPort, "job-7"});
  for (const char* hosts : {"[", "{}", "[1]", "[]", "algo-1", R"(["algo-1"])"}) {
    EXPECT_FALSE(membership_of(asks_for(2),
                               on("algo-2", {{"SM_HOSTS", hosts}, {"SM_CURRENT_HOST", "algo-2"}})))
        << hosts;
  }
}

TEST(Membership, OfVertexAi) {
  const std::string cluster =
      R"({"cluster":{"workerpool0":["pool0-0:2222"],"workerpool1":["pool1-0:2222","pool1-1:2222"]},)"
      R"("environment":"cloud","task":{"type":"workerpool1","index":1}})";
  expect(membership_of(asks_for(3),
                       on("pool1-1", {{"CLUSTER_SPEC", cluster}, {"CLOUD_ML_JOB_ID", "9"}})),
         {3, 2, "pool0-0", kDefaultPort, "9"});
  for (const char* text :
       {"x", "[]", "{}", R"({"cluster":7,"task":{"type":"workerpool0","index":0}})",
        R"({"cluster":{"workerpool0":["a:1"]},"task":{"type":"workerpool0","index":-1}})",
        R"({"cluster":{"workerpool0":["a:1"]},"task":{"type":"workerpool0","index":1}})",
        R"({"cluster":{"workerpool0":["a:1"]},"task":{"type":"workerpool3","index":0}})"}) {
    EXPECT_FALSE(membership_of(asks_for(2), on("a", {{"CLUSTER_SPEC", text}}))) << text;
  }
}

TEST(Membership, OfAwsBatch) {
  Environment child = {{"AWS_BATCH_JOB_ID", "ab-cd#2"},
                       {"AWS_BATCH_JOB_ATTEMPT", "1"},
                       {"AWS_BATCH_JOB_NUM_NODES", "3"},
                       {"AWS_BATCH_JOB_NODE_INDEX", "2"},
                       {"AWS_BATCH_JOB_MAIN_NODE_INDEX", "0"},
                       {"AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS", "10.0.0.9"}};
  expect(membership_of(asks_for(3), on("ip-10-0-0-11", child)),
         {3, 2, "10.0.0.9", kDefaultPort, "ab-cd.1"});
  // The main node is the head whatever its index, and every rank is there once.
  child["AWS_BATCH_JOB_MAIN_NODE_INDEX"] = "1";
  const int ranks[] = {1, 0, 2};
  for (int index = 0; index < 3; ++index) {
    child["AWS_BATCH_JOB_NODE_INDEX"] = std::to_string(index);
    const auto found = membership_of(asks_for(3), on("ip", child));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->node_rank.value, ranks[index]);
  }
}

TEST(Membership, OfAzureBatch) {
  const Environment task = {{"AZ_BATCH_NODE_LIST", "10.0.0.5;10.0.0.4;10.0.0.6"},
                            {"AZ_BATCH_HOST_LIST", "10.0.0.5,10.0.0.4,10.0.0.6"},
                            {"AZ_BATCH_MASTER_NODE", "10.0.0.4:6000"},
                            {"AZ_BATCH_JOB_ID", "job"},
                            {"AZ_BATCH_TASK_ID", "task"}};
  const std::map<std::string, int> ranks = {{"10.0.0.4", 0}, {"10.0.0.5", 1}, {"10.0.0.6", 2}};
  for (const auto& [address, rank] : ranks) {
    Surroundings node = on("vm", task);
    node.addresses = {"127.0.0.1", "172.17.0.1", address};
    node.environment["AZ_BATCH_IS_CURRENT_NODE_MASTER"] = rank == 0 ? "true" : "false";
    // The port of AZ_BATCH_MASTER_NODE is the service's own.
    expect(membership_of(asks_for(3), node), {3, rank, "10.0.0.4", kDefaultPort, "job.task"});
    node.environment["AZ_BATCH_IS_CURRENT_NODE_MASTER"] = rank == 0 ? "false" : "true";
    EXPECT_TRUE(has(error_of(membership_of(asks_for(3), node)), "AZ_BATCH_IS_CURRENT_NODE_MASTER"));
  }
  const std::string error = error_of(membership_of(asks_for(3), on("vm", task)));
  EXPECT_TRUE(has(error, "none of this node's addresses is in AZ_BATCH_NODE_LIST")) << error;
}

TEST(Membership, OfBatchAi) {
  Surroundings node = on("vm", {{"AZ_BATCH_HOST_LIST", "10.0.0.4,10.0.0.5"},
                                {"AZ_BATCHAI_MPI_MASTER_NODE", "10.0.0.4"}});
  node.addresses = {"10.0.0.5"};
  expect(membership_of(asks_for(2), node), {2, 1, "10.0.0.4", kDefaultPort, ""});
}

TEST(Membership, OfPbs) {
  Surroundings node =
      on("n2", {{"PBS_NODEFILE", "/var/spool/pbs/aux/7"}, {"PBS_JOBID", "7.server"}});
  node.node_file = "n1.cluster\nn1.cluster\nn2.cluster\nn2.cluster\n";
  expect(membership_of(asks_for(2), node), {2, 1, "n1.cluster", kDefaultPort, "7.server"});
  node.hostname = "login";
  EXPECT_TRUE(has(error_of(membership_of(asks_for(2), node)), "does not name this node, login"));
}

TEST(Membership, OfLsf) {
  expect(membership_of(asks_for(2),
                       on("h2.site", {{"LSB_MCPU_HOSTS", "h1 4 h2 4"}, {"LSB_JOBID", "12"}})),
         {2, 1, "h1", kDefaultPort, "12"});
  expect(membership_of(asks_for(2), on("h1", {{"LSB_HOSTS", "h1 h1 h2 h2"}})),
         {2, 0, "h1", kDefaultPort, ""});
  EXPECT_FALSE(membership_of(asks_for(2), on("h1", {{"LSB_MCPU_HOSTS", "h1 h2 h3"}})));
}

TEST(Membership, OddNumbersAreTold) {
  for (const char* value : {"-1", "x", "99999999999999999999", "1e3", "3 ", "\x1b[2J"}) {
    Environment odd = slurm_step();
    odd["SLURM_NODEID"] = value;
    const std::string error = error_of(membership_of(asks_for(3), on("gpu004", odd)));
    EXPECT_TRUE(has(error, "SLURM_NODEID is `")) << error;
    EXPECT_FALSE(has(error, "\x1b")) << error;
  }
  Environment beyond = slurm_step();
  beyond["SLURM_NODEID"] = "3";
  EXPECT_TRUE(has(error_of(membership_of(asks_for(3), on("gpu004", beyond))),
                  "node rank 3 (SLURM_NODEID) of 3 nodes (node_count)"));
}

TEST(Membership, WithoutAnythingSaysWhatToGive) {
  EXPECT_TRUE(has(error_of(membership_of(asks_for(2), on("a", {}))), "--rendezvous HOST:PORT"));
  MembershipFlags flags = asks_for(2);
  flags.rendezvous = "a";
  EXPECT_TRUE(has(error_of(membership_of(flags, on("a", {}))), "give --node-rank, from 0"));
}

}  // namespace
}  // namespace muster::cluster
