#include "rank_agent/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::agent {
namespace {

using ::testing::ElementsAre;

std::string expanded(std::string_view text) {
  return expand_variables(text, {"LOCAL_RANK=3", "EMPTY=", "A=$LOCAL_RANK", "1=one", "MY-NAME=x",
                                 "LOCAL=short", "TWO=a b"});
}

TEST(ExpandVariables, PutsInValuesWithAndWithoutBraces) {
  EXPECT_EQ(expanded("$LOCAL_RANK"), "3");
  EXPECT_EQ(expanded("gpu-${LOCAL_RANK}.log"), "gpu-3.log");
  EXPECT_EQ(expanded("$LOCAL_RANK/$LOCAL_RANK$LOCAL"), "3/3short");
  EXPECT_EQ(expanded("[$EMPTY]"), "[]");
  EXPECT_EQ(expanded("$TWO"), "a b");  // still one word
}

TEST(ExpandVariables, LeavesWhatIsNoVariable) {
  for (const char* text : {"$UNDEFINED", "${UNDEFINED}", "$", "$$", "100$", "$ LOCAL_RANK",
                           "${LOCAL_RANK", "${}", "$(LOCAL_RANK)", "$LOCAL_RANKS", "a=b", "1.0", "",
                           "'$UNDEFINED'", "\\$", "`ls`", "~", "*"}) {
    EXPECT_EQ(expanded(text), text);
  }
}

TEST(ExpandVariables, IsPythonsExpandvarsToTheLetter) {
  EXPECT_EQ(expanded("$A"), "$LOCAL_RANK");  // a value is not looked into again
  EXPECT_EQ(expanded("$$LOCAL_RANK"), "$3");
  EXPECT_EQ(expanded("\\$LOCAL_RANK"), "\\3");  // a backslash protects nothing,
  EXPECT_EQ(expanded("'$LOCAL_RANK'"), "'3'");  // nor do quotes
  EXPECT_EQ(expanded("$1"), "one");
  EXPECT_EQ(expanded("${MY-NAME}"), "x");  // in braces a name is anything
  EXPECT_EQ(expanded("$MY-NAME"), "$MY-NAME");
  EXPECT_EQ(expanded("${A${LOCAL_RANK}}"), "${A${LOCAL_RANK}}");
  EXPECT_EQ(expanded("$LOCAL_RANKé"), "3é");  // letters are those of ASCII
}

TEST(TrainingArgv, ExpandsTheMarkedWordsAlone) {
  protocol::RankSpec spec;
  for (const char* word : {"$P", "$P", "$P x", "$P"}) spec.add_argv(word);
  EXPECT_THAT(training_argv(spec, {"P=1"}), ElementsAre("$P", "$P", "$P x", "$P"));
  spec.set_expanded_first(1);
  spec.set_expanded_count(2);
  EXPECT_THAT(training_argv(spec, {"P=1"}), ElementsAre("$P", "1", "1 x", "$P"));
  spec.set_expanded_count(100);
  EXPECT_THAT(training_argv(spec, {"P=1"}), ElementsAre("$P", "1", "1 x", "1"));
}

}  // namespace
}  // namespace muster::agent
