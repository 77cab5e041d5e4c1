#include "rank_agent/environment.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace muster::agent {
namespace {

using Environment = std::vector<std::string>;

Environment sorted(Environment environment) {
  std::sort(environment.begin(), environment.end());
  return environment;
}

protocol::RankSpec spec_with(const Environment& variables, bool keep_mpi_identity) {
  protocol::RankSpec spec;
  for (const std::string& variable : variables) spec.add_environment(variable);
  spec.set_keep_mpi_identity(keep_mpi_identity);
  return spec;
}

const Environment kOfMpirun = {"OMPI_COMM_WORLD_RANK=1", "PMIX_RANK=1", "HFI_NO_BACKTRACE=1",
                               "IPATH_NO_BACKTRACE=1",   "PATH=/agent", "MUSTER_NODE_SOCKET=/s"};

TEST(TrainingEnvironmentTest, UnderMpirunItIsTheSpecsAndTheIdentityThatMpirunGave) {
  EXPECT_EQ(sorted(training_environment(spec_with({"RANK=1", "PATH=/bin"}, true), kOfMpirun)),
            (Environment{"HFI_NO_BACKTRACE=1", "IPATH_NO_BACKTRACE=1", "OMPI_COMM_WORLD_RANK=1",
                         "PATH=/bin", "PMIX_RANK=1", "RANK=1"}));
}

TEST(TrainingEnvironmentTest, OpenMpi5sIdentityIsPassedOnToo) {
  const Environment of_mpirun = {"PRTE_LAUNCHED=1", "OPAL_PREFIX=/moved", "PMIX_PREFIX=/moved",
                                 "OPAL_PREFIXES=x"};
  EXPECT_EQ(sorted(training_environment(spec_with({}, true), of_mpirun)),
            (Environment{"OPAL_PREFIX=/moved", "PMIX_PREFIX=/moved", "PRTE_LAUNCHED=1"}));
}

TEST(TrainingEnvironmentTest, TheLibrariesOfMpirunComeFirst) {
  const Environment own = {"LD_LIBRARY_PATH=/mpi5/lib:/users"};
  EXPECT_EQ(training_environment(spec_with({}, true), own),
            (Environment{"LD_LIBRARY_PATH=/mpi5/lib:/users"}));
  EXPECT_EQ(training_environment(spec_with({"LD_LIBRARY_PATH=/users:/b"}, true), own),
            (Environment{"LD_LIBRARY_PATH=/mpi5/lib:/users:/b"}));
  EXPECT_EQ(training_environment(spec_with({"LD_LIBRARY_PATH=/users:/mpi5/lib"}, true), own),
            (Environment{"LD_LIBRARY_PATH=/users:/mpi5/lib"}));
  EXPECT_EQ(training_environment(spec_with({"A=1"}, false), own), (Environment{"A=1"}));
}

TEST(TrainingEnvironmentTest, WhatWasMeantForMpirunAloneGoesNoFurther) {
  protocol::RankSpec spec = spec_with({"OMPI_MCA_btl=self"}, true);
  spec.add_for_mpirun_only("OMPI_MCA_odls");
  spec.add_for_mpirun_only("OMPI_MCA_btl");  // the config's word for ranks and mpirun alike
  EXPECT_EQ(sorted(training_environment(
                spec, {"OMPI_MCA_odls=pspawn", "OMPI_MCA_odls_base_verbose=1", "OMPI_MCA_btl=x"})),
            (Environment{"OMPI_MCA_btl=self", "OMPI_MCA_odls_base_verbose=1"}));
}

TEST(TrainingEnvironmentTest, WithoutMpirunItIsTheSpecsAlone) {
  EXPECT_EQ(training_environment(spec_with({"RANK=1"}, false), kOfMpirun), (Environment{"RANK=1"}));
}

TEST(TrainingEnvironmentTest, WhatTheSpecSetsWins) {
  const auto environment = training_environment(
      spec_with({"OMPI_MCA_btl=self"}, true), {"OMPI_MCA_btl=tcp", "OMPI_MCA_btl_base_verbose=1"});
  EXPECT_EQ(sorted(environment), (Environment{"OMPI_MCA_btl=self", "OMPI_MCA_btl_base_verbose=1"}));
}

TEST(TrainingEnvironmentTest, AValueMayHoldAnything) {
  const Environment variables = {"A=", "B=x=y", "C=line\nbreak", "D=\xff"};
  EXPECT_EQ(training_environment(spec_with(variables, true), {}), variables);
}

TEST(ValueOfTest, FindsTheWholeNameOnly) {
  const Environment environment = {"RANKS=8", "RANK=3", "EMPTY=", "X=a=b"};
  EXPECT_EQ(value_of(environment, "RANK"), "3");
  EXPECT_EQ(value_of(environment, "X"), "a=b");
  EXPECT_EQ(value_of(environment, "EMPTY"), "");
  EXPECT_EQ(value_of(environment, "NONE"), "");
}

TEST(ValueOfTest, AnEntryWithoutAValueIsNotSet) {
  EXPECT_EQ(value_of({"RANK", "RANK=3"}, "RANK"), "3");
  EXPECT_EQ(value_of({"RANK"}, "RANK"), "");
}

}  // namespace
}  // namespace muster::agent
