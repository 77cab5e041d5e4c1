#include "launcher/plan/mpirun_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace muster::plan {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

const MpirunIdentity kOpenMpi4{"/usr/bin/mpirun", "4.1.4", 4, 1};
const MpirunIdentity kOpenMpi5{"/opt/openmpi/bin/mpirun", "5.0.11", 5, 0};

MpirunFacts facts(int ranks, int slots) {
  MpirunFacts facts;
  facts.rank_count = ranks;
  facts.slots = slots;
  facts.oversubscribed = ranks > slots;
  facts.longest_grace = milliseconds(30'000);
  facts.agent_executable = "/opt/muster agent";
  return facts;
}

std::string line(const MpirunFacts& facts, const MpirunIdentity& mpirun = kOpenMpi4) {
  const auto command = mpirun_command(mpirun, facts);
  EXPECT_TRUE(command) << command.error().message;
  return command ? shell_quoted(command->argv()) : "";
}

TEST(MpirunCommand, HasTheseWordsOnOneNode) {
  EXPECT_EQ(line(facts(2, 2)),
            "mpirun -np 2 --host localhost:2 --bind-to none --stdin none "
            "--mca odls_base_num_threads 0 --mca orte_allowed_exit_without_sync 1 "
            "--mca odls_base_sigkill_timeout 40 '/opt/muster agent'");
}

TEST(MpirunCommand, HasOpenMpi5sWordsForOpenMpi5) {
  EXPECT_EQ(line(facts(2, 2), kOpenMpi5),
            "mpirun -np 2 --host localhost:2 --bind-to none --stdin none "
            "--prtemca odls_base_num_threads 0 --prtemca prte_allowed_exit_without_sync 1 "
            "'/opt/muster agent'");
  EXPECT_THAT(line(facts(8, 2), kOpenMpi5),
              HasSubstr("-np 8 --host localhost:2 --map-by :OVERSUBSCRIBE "
                        "--mca mpi_yield_when_idle 1 "));
}

TEST(MpirunCommand, KnowsThatOpenMpi5CannotBeToldToWaitBeforeItKills) {
  EXPECT_TRUE(mpirun_command(kOpenMpi4, facts(2, 2))->patient);
  EXPECT_FALSE(mpirun_command(kOpenMpi5, facts(2, 2))->patient);
}

std::vector<std::string> variables(const MpirunIdentity& mpirun) {
  std::vector<std::string> names;
  const auto command = mpirun_command(mpirun, facts(2, 2));
  for (const EnvironmentVariable& variable : command->environment) {
    names.push_back(variable.name + "=" + variable.value);
  }
  return names;
}

TEST(MpirunCommand, AsksForPspawnOnlyWhereThereIsOne) {
  MpirunIdentity mpirun = kOpenMpi4;
  EXPECT_THAT(variables(mpirun), Not(Contains("OMPI_MCA_odls=pspawn")));
  mpirun.has_pspawn = true;
  EXPECT_THAT(variables(mpirun), Contains("OMPI_MCA_odls=pspawn"));
  EXPECT_THAT(line(facts(2, 2), mpirun), Not(HasSubstr("pspawn")))
      << "the words of the line reach the ranks";
}

TEST(MpirunCommand, AllowsRootOnlyAsRoot) {
  MpirunFacts as_root = facts(2, 2);
  as_root.running_as_root = true;
  for (const MpirunIdentity& mpirun : {kOpenMpi4, kOpenMpi5}) {
    EXPECT_THAT(line(as_root, mpirun), HasSubstr("mpirun --allow-run-as-root -np 2"));
    EXPECT_THAT(line(facts(2, 2), mpirun), Not(HasSubstr("root")));
  }
}

TEST(MpirunCommand, YieldsAndNeverClaimsMoreSlotsThanCoresWhenOversubscribed) {
  EXPECT_THAT(line(facts(8, 2)),
              HasSubstr("-np 8 --host localhost:2 --oversubscribe --mca mpi_yield_when_idle 1 "));
  EXPECT_THAT(line(facts(8, 8)), Not(HasSubstr("oversubscribe")));
  EXPECT_THAT(line(facts(8, 8)), Not(HasSubstr("yield")));
}

TEST(MpirunCommand, KillsTenSecondsAfterTheLongestGraceRoundedUp) {
  MpirunFacts short_grace = facts(1, 1);
  short_grace.longest_grace = milliseconds(1'001);
  EXPECT_THAT(line(short_grace), HasSubstr("odls_base_sigkill_timeout 12 "));
  short_grace.longest_grace = milliseconds(0);
  EXPECT_THAT(line(short_grace), HasSubstr("odls_base_sigkill_timeout 10 "));
}

TEST(MpirunCommand, GivesAReasonForEveryWord) {
  for (const MpirunIdentity& mpirun : {kOpenMpi4, kOpenMpi5}) {
    const auto command = mpirun_command(mpirun, facts(8, 2));
    ASSERT_TRUE(command);
    for (const MpirunWords& group : command->words) EXPECT_FALSE(group.why.empty());
    for (const EnvironmentVariable& variable : command->environment) {
      EXPECT_FALSE(variable.origin.empty());
    }
  }
}

TEST(MpirunCommand, RefusesAVersionThatTheTableDoesNotHave) {
  for (const auto& [version, major] : {std::pair{"6.0.0", 6}, std::pair{"3.1.6", 3}}) {
    const auto command = mpirun_command({"/opt/mpi/bin/mpirun", version, major, 0}, facts(2, 2));
    ASSERT_FALSE(command);
    EXPECT_EQ(command.error().code, ErrorCode::kResources);
    EXPECT_THAT(command.error().message,
                HasSubstr(std::string("Open MPI ") + version +
                          " is not supported by this version; 4.x and 5.x are"));
    EXPECT_FALSE(command.error().hint.empty());
  }
}

MpirunFacts two_nodes() {
  MpirunFacts two = facts(6, 6);
  two.agent_executable = "/opt/muster-agent";
  two.node_count = 2;
  two.hostfile = "muster-0 slots=4\nmuster-1 slots=2\n";
  two.cidrs = {"10.7.0.0/24", "10.8.0.0/24"};
  two.interfaces = {"ens3", "eth0"};
  return two;
}

TEST(MpirunOnSeveralNodes, MeetsWhereTheLaunchersHave) {
  EXPECT_EQ(line(two_nodes()),
            "mpirun -np 6 --bind-to none --stdin none --mca odls_base_num_threads 0 "
            "--mca orte_allowed_exit_without_sync 1 --mca odls_base_sigkill_timeout 40 "
            "--leave-session-attached --mca oob_tcp_if_include 10.7.0.0/24,10.8.0.0/24 "
            "--mca btl_tcp_if_include 10.7.0.0/24,10.8.0.0/24 --mca pml ob1 --mca btl "
            "tcp,vader,self --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 2 "
            "--mca oob_tcp_keepalive_probes 3 /opt/muster-agent");
  EXPECT_EQ(line(two_nodes(), kOpenMpi5),
            "mpirun -np 6 --bind-to none --stdin none --prtemca odls_base_num_threads 0 "
            "--prtemca prte_allowed_exit_without_sync 1 --leave-session-attached "
            "--prtemca prte_if_include 10.7.0.0/24,10.8.0.0/24 "
            "--mca btl_tcp_if_include 10.7.0.0/24,10.8.0.0/24 --mca pml ob1 --mca btl tcp,sm,self "
            "--prtemca oob_tcp_keepalive_time 5 --prtemca oob_tcp_keepalive_intvl 2 "
            "--prtemca oob_tcp_keepalive_probes 3 /opt/muster-agent");
}

std::vector<std::string> variables_of(const MpirunFacts& facts, const MpirunIdentity& mpirun) {
  std::vector<std::string> names;
  const auto command = mpirun_command(mpirun, facts);
  for (const EnvironmentVariable& variable : command->environment) {
    names.push_back(variable.name + "=" + variable.value);
  }
  return names;
}

TEST(MpirunOnSeveralNodes, AsksOurAgentForEveryDaemonAtOnce) {
  EXPECT_THAT(
      variables_of(two_nodes(), kOpenMpi4),
      IsSupersetOf({"OMPI_MCA_plm=rsh", "OMPI_MCA_plm_rsh_agent=/opt/muster-agent remote-exec",
                    "OMPI_MCA_plm_rsh_no_tree_spawn=1", "OMPI_MCA_plm_rsh_num_concurrent=2",
                    "HWLOC_COMPONENTS=-x86"}));
  EXPECT_THAT(
      variables_of(two_nodes(), kOpenMpi5),
      IsSupersetOf({"PRTE_MCA_plm=ssh", "PRTE_MCA_plm_ssh_agent=/opt/muster-agent remote-exec",
                    "PRTE_MCA_plm_ssh_no_tree_spawn=1", "PRTE_MCA_plm_ssh_num_concurrent=2"}));
  EXPECT_EQ(mpirun_command(kOpenMpi4, two_nodes())->hostfile_variable,
            "OMPI_MCA_orte_default_hostfile");
  EXPECT_EQ(mpirun_command(kOpenMpi4, facts(2, 2))->hostfile_variable, "");
}

TEST(MpirunOnSeveralNodes, LeavesToThePersonWhatThePersonHasSet) {
  MpirunFacts said = two_nodes();
  said.said = {"btl_tcp_if_exclude", "pml", "oob_tcp_keepalive_time"};
  const std::string text = line(said);
  EXPECT_THAT(text, HasSubstr("oob_tcp_if_include"));
  EXPECT_THAT(text, Not(HasSubstr("btl_tcp_if_include")));
  EXPECT_THAT(text, Not(HasSubstr("pml")));
  EXPECT_THAT(text, Not(HasSubstr("keepalive")));
}

TEST(MpirunOnSeveralNodes, LeavesRdmaDevicesToOpenMpi) {
  MpirunFacts fast = two_nodes();
  fast.rdma = true;
  EXPECT_THAT(line(fast), Not(HasSubstr("ob1")));
}

// Its ranks would take each other for neighbours in memory, and crash.
TEST(MpirunOnSeveralNodes, NoSharedMemoryBetweenLaunchersOfOneHost) {
  MpirunFacts shared = two_nodes();
  shared.shared_host = true;
  for (const bool rdma : {false, true}) {
    shared.rdma = rdma;
    EXPECT_THAT(line(shared), HasSubstr("--mca pml ob1 --mca btl tcp,self "));
    EXPECT_THAT(line(shared, kOpenMpi5), HasSubstr("--mca pml ob1 --mca btl tcp,self "));
    EXPECT_THAT(line(shared), Not(HasSubstr("vader")));
  }
}

// 4.1 passes over names that a node lacks, 5 crashes.
TEST(MpirunOnSeveralNodes, ListsNamesForIpv6WhereTheyAreUnderstood) {
  MpirunFacts six = two_nodes();
  six.ipv6 = true;
  EXPECT_THAT(line(six), HasSubstr("--mca oob_tcp_if_include ens3,eth0 "
                                   "--mca oob_tcp_disable_ipv4_family 1 "
                                   "--mca btl_tcp_disable_family 4 "));
  EXPECT_THAT(line(six, kOpenMpi5), Not(HasSubstr("prte_if_include")));
  six.interfaces = {"eth0"};
  EXPECT_THAT(line(six, kOpenMpi5), HasSubstr("--prtemca prte_if_include eth0 "
                                              "--prtemca prte_disable_ipv4_family 1 "));
  EXPECT_THAT(line(six), Not(HasSubstr("10.7.0.0")));
}

TEST(MpirunOnSeveralNodes, HasASlotForEveryRankAndYieldsWhereThereAreFewerCores) {
  MpirunFacts crowded = two_nodes();
  crowded.oversubscribed = true;
  EXPECT_THAT(line(crowded), HasSubstr("--mca mpi_yield_when_idle 1"));
  EXPECT_THAT(line(crowded), Not(HasSubstr("--oversubscribe")));
}

TEST(MpirunOnSeveralNodes, RefusesAPathThatMpirunWouldTakeApart) {
  for (const char* path : {"/opt/mus ter/agent", "/opt/a:b/agent"}) {
    MpirunFacts odd = two_nodes();
    odd.agent_executable = path;
    const auto command = mpirun_command(kOpenMpi4, odd);
    ASSERT_FALSE(command);
    EXPECT_THAT(command.error().message, HasSubstr(path));
  }
}

}  // namespace
}  // namespace muster::plan
