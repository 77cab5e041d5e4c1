#include "launcher/data/transfer_glob.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace muster::data {
namespace {

TEST(TransferGlob, AStarStopsAtASlash) {
  EXPECT_TRUE(fits_glob("*.csv", "train.csv"));
  EXPECT_FALSE(fits_glob("/a*c", "a/b/c"));
  EXPECT_TRUE(fits_glob("/a/*/c", "a/b/c"));
  EXPECT_FALSE(fits_glob("*.csv", "train.csv.gz"));
}

TEST(TransferGlob, TwoStarsDoNot) {
  EXPECT_TRUE(fits_glob("/images/**", "images/2026/cat.png"));
  EXPECT_TRUE(fits_glob("/**.png", "images/2026/cat.png"));
  EXPECT_FALSE(fits_glob("/images/**", "other/images/cat.png"));
}

TEST(TransferGlob, WithoutALeadingSlashTheEndOfAPathFits) {
  EXPECT_TRUE(fits_glob("*.csv", "2026/11/train.csv"));
  EXPECT_TRUE(fits_glob("11/train.csv", "2026/11/train.csv"));
  EXPECT_FALSE(fits_glob("1/train.csv", "2026/11/train.csv"));
  EXPECT_FALSE(fits_glob("/train.csv", "2026/train.csv"));
}

TEST(TransferGlob, AQuestionMarkIsOneCharacterButNoSlash) {
  EXPECT_TRUE(fits_glob("part-?", "part-1"));
  EXPECT_FALSE(fits_glob("part-?", "part-12"));
  EXPECT_FALSE(fits_glob("/part?1", "part/1"));
}

TEST(TransferGlob, WithoutPatternsEverythingFits) {
  EXPECT_TRUE(fits_any_glob({}, "anything"));
  const std::vector<std::string> patterns = {"*.csv", "*.json"};
  EXPECT_TRUE(fits_any_glob(patterns, "a.json"));
  EXPECT_FALSE(fits_any_glob(patterns, "a.png"));
}

}  // namespace
}  // namespace muster::data
