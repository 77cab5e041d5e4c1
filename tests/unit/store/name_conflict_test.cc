#include "collector/store/name_conflict.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace muster::store {
namespace {

TEST(NameConflict, TheLowestRankHasTheNameWhoeverCameFirst) {
  const NameClaim low{0, "node-0", "aa"};
  const NameClaim high{4, "node-1", "bb"};
  EXPECT_EQ(judge_name(low, high), NameVerdict::kKeeps);
  EXPECT_EQ(judge_name(high, low), NameVerdict::kGivesWay);
}

TEST(NameConflict, TheSameBytesAreOneFile) {
  EXPECT_EQ(judge_name({4, "node-1", "aa"}, {0, "node-0", "aa"}), NameVerdict::kSame);
  EXPECT_EQ(judge_name({4, "node-1", ""}, {0, "node-0", ""}), NameVerdict::kGivesWay)
      << "two files whose bytes are not known are not the same";
}

TEST(NameConflict, OneOfTwoAlwaysWins) {
  const NameClaim one{3, "node-1", "aa"};
  const NameClaim other{3, "node-2", "bb"};
  EXPECT_EQ(judge_name(one, other), NameVerdict::kKeeps);
  EXPECT_EQ(judge_name(other, one), NameVerdict::kGivesWay);
}

TEST(NameConflict, TheOtherNameSaysWhoseItIs) {
  EXPECT_EQ(conflict_name("outputs/model.pt", 4), "outputs/model.pt.rank-4");
  EXPECT_EQ(conflict_name("outputs/deep/x", 12), "outputs/deep/x.rank-12");
}

TEST(NameConflict, LongNamesAreCutAndStillDiffer) {
  const std::string one = conflict_name("outputs/" + std::string(255, 'a'), 4);
  const std::string other = conflict_name("outputs/" + std::string(254, 'a') + "b", 4);
  EXPECT_EQ(one.size(), 8 + 255U);
  EXPECT_NE(one, other);
  EXPECT_TRUE(one.ends_with(".rank-4"));
}

}  // namespace
}  // namespace muster::store
