#include "base/ignore_rules.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

bool ignores(std::string_view rules, std::string_view path, bool is_directory = false) {
  IgnoreRules all;
  all.add_file("", rules);
  return all.ignores(path, is_directory);
}

TEST(IgnoreRulesTest, ANameIsIgnoredInEveryFolder) {
  EXPECT_TRUE(ignores("data", "data"));
  EXPECT_TRUE(ignores("data", "a/b/data"));
  EXPECT_FALSE(ignores("data", "data2"));
  EXPECT_FALSE(ignores("data", "Data"));
  EXPECT_TRUE(ignores("*.ckpt", "a/model.ckpt"));
  EXPECT_TRUE(ignores("*.ckpt", ".ckpt"));  // a dot in front is nothing special
  EXPECT_FALSE(ignores("*.ckpt", "model.ckpt.bak"));
  EXPECT_TRUE(ignores("m?del", "model"));
}

TEST(IgnoreRulesTest, ASlashTiesAPatternToTheFoldersPlace) {
  EXPECT_TRUE(ignores("/data", "data"));
  EXPECT_FALSE(ignores("/data", "a/data"));
  EXPECT_TRUE(ignores("a/data", "a/data"));
  EXPECT_FALSE(ignores("a/data", "b/a/data"));
  EXPECT_FALSE(ignores("a/*", "a/b/c"));
  EXPECT_TRUE(ignores("a/*/c", "a/b/c"));
  EXPECT_FALSE(ignores("a?b/c", "a/b/c"));
  EXPECT_FALSE(ignores("a[/]b/c", "a/b/c"));
}

TEST(IgnoreRulesTest, ASlashAtTheEndMeansFolders) {
  EXPECT_TRUE(ignores("build/", "a/build", true));
  EXPECT_FALSE(ignores("build/", "a/build"));
  EXPECT_TRUE(ignores("/a/build/", "a/build", true));
}

TEST(IgnoreRulesTest, TwoAsterisksCrossFolders) {
  EXPECT_TRUE(ignores("**/logs", "logs"));
  EXPECT_TRUE(ignores("**/logs", "a/b/logs"));
  EXPECT_TRUE(ignores("a/**", "a/b/c"));
  EXPECT_FALSE(ignores("a/**", "a"));
  EXPECT_TRUE(ignores("a/**/z", "a/z"));
  EXPECT_TRUE(ignores("a/**/z", "a/b/c/z"));
  EXPECT_FALSE(ignores("a/**/z", "az"));
  EXPECT_FALSE(ignores("x/a**z", "x/a/b/z"));  // not alone between slashes: one asterisk
}

TEST(IgnoreRulesTest, TheLastRuleThatMatchesDecides) {
  EXPECT_FALSE(ignores("*.txt\n!keep.txt", "keep.txt"));
  EXPECT_TRUE(ignores("!keep.txt\n*.txt", "keep.txt"));
  EXPECT_TRUE(ignores("*.txt\n!keep.txt", "a.txt"));
}

TEST(IgnoreRulesTest, RulesOfADeeperFolderComeLaterAndCountFromThere) {
  IgnoreRules rules;
  rules.add_file("", "*.bin\n/top");
  rules.add_file("a/b", "!own.bin\n/top");
  EXPECT_FALSE(rules.ignores("a/b/own.bin", false));
  EXPECT_FALSE(rules.ignores("a/b/c/own.bin", false));
  EXPECT_TRUE(rules.ignores("a/own.bin", false));
  EXPECT_TRUE(rules.ignores("a/bb/own.bin", false));
  EXPECT_TRUE(rules.ignores("a/b/top", false));
  EXPECT_FALSE(rules.ignores("a/top", false));
}

TEST(IgnoreRulesTest, CommentsSpacesAndEscapes) {
  EXPECT_FALSE(ignores("#a", "#a"));
  EXPECT_TRUE(ignores("\\#a", "#a"));
  EXPECT_TRUE(ignores("\\!a", "!a"));
  EXPECT_TRUE(ignores("a   ", "a"));
  EXPECT_TRUE(ignores("a\\ ", "a "));
  EXPECT_TRUE(ignores("a b", "a b"));
  EXPECT_TRUE(ignores("a\t", "a\t"));  // no space
  EXPECT_TRUE(ignores("x\r\na\r\n", "a"));
  EXPECT_TRUE(
      ignores("\xEF\xBB\xBF"
              "a",
              "a"));
  EXPECT_TRUE(ignores("\\*", "*"));
  EXPECT_FALSE(ignores("\\*", "b"));
  EXPECT_FALSE(ignores("a\\", "a"));
  for (const char* nothing : {"", "\n\n", "   ", "/", "!", "//", "# a"}) {
    EXPECT_FALSE(ignores(nothing, "a")) << nothing;
  }
}

TEST(IgnoreRulesTest, SetsOfCharacters) {
  EXPECT_TRUE(ignores("[abc]", "b"));
  EXPECT_FALSE(ignores("[!abc]", "b"));
  EXPECT_TRUE(ignores("[^abc]", "d"));
  EXPECT_TRUE(ignores("[0-9]", "7"));
  EXPECT_TRUE(ignores("[]-]", "]"));
  EXPECT_TRUE(ignores("[]-]", "-"));
  EXPECT_TRUE(ignores("[\\]]", "]"));
  EXPECT_TRUE(ignores("[[:digit:]x]", "x"));
  EXPECT_TRUE(ignores("[[:digit:]x]", "3"));
  EXPECT_FALSE(ignores("[[:nonsense:]x]", "x"));
  EXPECT_FALSE(ignores("[a", "[a"));
}

TEST(IgnoreRulesTest, ManyAsterisksTakeNoLongTime) {
  std::string pattern = "/x";
  for (int i = 0; i < 500; ++i) pattern += "*a";
  EXPECT_FALSE(ignores(pattern + "*b", "x" + std::string(3000, 'a')));
}

}  // namespace
}  // namespace muster
