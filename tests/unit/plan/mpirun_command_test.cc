#include "launcher/plan/mpirun_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace muster::plan {
namespace {

using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
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

}  // namespace
}  // namespace muster::plan
