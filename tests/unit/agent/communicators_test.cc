#include "rank_agent/communicators.h"

#include <gtest/gtest.h>

namespace muster::agent {
namespace {

using Environment = std::vector<std::string>;

const Environment kTorch = {"RANK=5", "WORLD_SIZE=8", "LOCAL_RANK=1"};
const Environment kMpi = {"OMPI_COMM_WORLD_RANK=5", "OMPI_COMM_WORLD_SIZE=8",
                          "OMPI_COMM_WORLD_LOCAL_RANK=1", "PMIX_RANK=5"};

protocol::RankSpec rank_5_of_8(bool mpi) {
  protocol::RankSpec spec;
  spec.set_rank(5);
  spec.set_local_rank(1);
  spec.set_world_size(8);
  spec.set_keep_mpi_identity(mpi);
  return spec;
}

Environment united(Environment a, const Environment& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Environment without(Environment environment, const std::string& name) {
  std::erase_if(environment, [&](const auto& one) { return one.starts_with(name + "="); });
  return environment;
}

Environment with(const Environment& environment, const std::string& name,
                 const std::string& value) {
  return united(without(environment, name), {name + "=" + value});
}

TEST(FindContradictionTest, NamesThatAgreeAreNone) {
  EXPECT_EQ(find_contradiction(rank_5_of_8(false), kTorch), "");
  EXPECT_EQ(find_contradiction(rank_5_of_8(true), united(kTorch, kMpi)), "");
}

TEST(FindContradictionTest, EveryNameIsCompared) {
  const Environment all = united(kTorch, kMpi);
  for (const std::string name :
       {"RANK", "WORLD_SIZE", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK", "PMIX_RANK"}) {
    const std::string contradiction = find_contradiction(rank_5_of_8(true), with(all, name, "3"));
    EXPECT_EQ(contradiction.find(name + " is 3, the plan says "), 0U) << contradiction;
  }
}

TEST(FindContradictionTest, TheRanksOfTheNodeAreCounted) {
  const Environment counted =
      united(united(kTorch, kMpi), {"LOCAL_WORLD_SIZE=4", "OMPI_COMM_WORLD_LOCAL_SIZE=4"});
  EXPECT_EQ(find_contradiction(rank_5_of_8(true), counted), "");
  EXPECT_EQ(find_contradiction(rank_5_of_8(true), with(counted, "LOCAL_WORLD_SIZE", "8")),
            "OMPI_COMM_WORLD_LOCAL_SIZE is 4, the plan says 8");
}

TEST(FindContradictionTest, UnderMpirunItsIdentityIsNeeded) {
  EXPECT_EQ(find_contradiction(rank_5_of_8(true), kTorch),
            "OMPI_COMM_WORLD_RANK is not set, the plan says 5");
  EXPECT_EQ(find_contradiction(rank_5_of_8(true), without(united(kTorch, kMpi), "PMIX_RANK")), "");
}

TEST(FindContradictionTest, OurOwnNamesAreAlwaysNeeded) {
  EXPECT_EQ(find_contradiction(rank_5_of_8(false), without(kTorch, "WORLD_SIZE")),
            "WORLD_SIZE is not set, the plan says 8");
}

TEST(FindContradictionTest, AnIdentityFromElsewhereIsNoticedWithoutMpirunToo) {
  EXPECT_EQ(find_contradiction(rank_5_of_8(false), with(kTorch, "OMPI_COMM_WORLD_SIZE", "1")),
            "OMPI_COMM_WORLD_SIZE is 1, the plan says 8");
}

TEST(FindContradictionTest, ANumberIsComparedAsText) {
  EXPECT_EQ(find_contradiction(rank_5_of_8(false), with(kTorch, "RANK", "05")),
            "RANK is 05, the plan says 5");
}

}  // namespace
}  // namespace muster::agent
