#include "launcher/exec/mpi_worlds.h"

#include <gtest/gtest.h>

namespace muster::exec {
namespace {

plan::LaunchPlan plan_of(int world_size, config::Backend backend) {
  plan::LaunchPlan plan;
  plan.world_size = world_size;
  plan.backend = backend;
  if (backend == config::Backend::kMpi) {
    plan.mpirun = plan::MpirunCommand{"/usr/bin/mpirun", "4.1.4", {}, {}};
  }
  return plan;
}

std::vector<plan::RankOutcome> ranks_with(const std::vector<std::string>& libraries) {
  std::vector<plan::RankOutcome> ranks(libraries.size());
  for (std::size_t i = 0; i < libraries.size(); ++i) {
    ranks[i].rank = static_cast<int>(i);
    ranks[i].mpi_library = libraries[i];
  }
  return ranks;
}

TEST(SeparateWorldsTest, TheMpiOfMpirunIsFine) {
  const auto plan = plan_of(2, config::Backend::kMpi);
  EXPECT_TRUE(
      find_separate_worlds(plan, ranks_with({"libmpi.so.40", "libmpi.so.40.30.4"})).empty());
  EXPECT_TRUE(find_separate_worlds(plan, ranks_with({"", ""})).empty());
}

TEST(SeparateWorldsTest, AnotherMpiUnderMpirunIsNamedWithItsRanks) {
  const auto warnings = find_separate_worlds(
      plan_of(4, config::Backend::kMpi),
      ranks_with({"libmpich.so.12", "libmpich.so.12", "libmpi.so.40", "libmpich.so.12"}));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0].find("ranks 0-1,3 use libmpich.so.12, which is not the MPI of "
                             "/usr/bin/mpirun (Open MPI)"),
            0U)
      << warnings[0];
}

TEST(SeparateWorldsTest, IntelsLibmpiIsNotOpenMpis) {
  EXPECT_EQ(
      find_separate_worlds(plan_of(2, config::Backend::kMpi), ranks_with({"libmpi.so.12", ""}))
          .size(),
      1U);
}

TEST(SeparateWorldsTest, AnyMpiWithoutMpirunIsNoticed) {
  const auto warnings =
      find_separate_worlds(plan_of(2, config::Backend::kDirect), ranks_with({"", "libmpi.so.40"}));
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_EQ(warnings[0].find("rank 1 use"), 0U) << warnings[0];
  EXPECT_NE(warnings[0].find("started without mpirun"), std::string::npos);
}

TEST(SeparateWorldsTest, EveryLibraryHasItsWarning) {
  EXPECT_EQ(find_separate_worlds(plan_of(2, config::Backend::kDirect),
                                 ranks_with({"libmpich.so.12", "libmpi.so.40"}))
                .size(),
            2U);
}

TEST(SeparateWorldsTest, OneRankIsAWorldOfOneAnyway) {
  EXPECT_TRUE(find_separate_worlds(plan_of(1, config::Backend::kNone), ranks_with({"libmpi.so.40"}))
                  .empty());
}

}  // namespace
}  // namespace muster::exec
