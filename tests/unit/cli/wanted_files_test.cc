#include "launcher/cli/wanted_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using testing::ElementsAre;

const std::vector<std::string> kFiles{"logs/train.txt",
                                      "outputs/ckpt-1/a.bin",
                                      "outputs/ckpt-1/b/c.txt",
                                      "outputs/m.txt",
                                      "ranks/00000/attempt-0/stdout.log",
                                      "report.txt",
                                      "run.json"};

std::vector<std::string> wanted(const std::string& word) {
  std::vector<std::string> texts;
  for (const WantedFile& file : find_wanted(word, kFiles)) {
    texts.push_back(file.path + " > " + file.target);
  }
  return texts;
}

TEST(WantedFiles, PatternsLookIntoTheOutputFolders) {
  EXPECT_THAT(wanted("*.txt"),
              ElementsAre("logs/train.txt > logs/train.txt",
                          "outputs/ckpt-1/b/c.txt > ckpt-1/b/c.txt", "outputs/m.txt > m.txt"));
  EXPECT_EQ(wanted("*").size(), 4U);
  EXPECT_EQ(wanted("**/*.txt").size(), 3U);
  EXPECT_THAT(wanted("ckpt-*"), ElementsAre("outputs/ckpt-1/a.bin > ckpt-1/a.bin",
                                            "outputs/ckpt-1/b/c.txt > ckpt-1/b/c.txt"));
  EXPECT_THAT(wanted("outputs/*.txt"), ElementsAre("outputs/m.txt > m.txt"));
  EXPECT_THAT(wanted("ckpt-1/*"),
              ElementsAre("outputs/ckpt-1/a.bin > a.bin", "outputs/ckpt-1/b/c.txt > b/c.txt"));
}

TEST(WantedFiles, OtherFoldersAreNamed) {
  EXPECT_THAT(wanted("ranks/*/attempt-0/stdout.log"),
              ElementsAre("ranks/00000/attempt-0/stdout.log > 00000/attempt-0/stdout.log"));
  EXPECT_THAT(wanted("run.json"), ElementsAre("run.json > run.json"));
  EXPECT_TRUE(wanted("*.json").empty());
}

TEST(WantedFiles, NamesMeanFilesAndFolders) {
  EXPECT_THAT(wanted("m.txt"), ElementsAre("outputs/m.txt > m.txt"));
  EXPECT_EQ(wanted("ckpt-1/").size(), 2U);
  EXPECT_TRUE(wanted("ckpt").empty());
}

}  // namespace
}  // namespace muster::cli
