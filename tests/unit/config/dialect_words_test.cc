// The small parsers of the v2 and Batch AI translators.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/config/dialects/command_words.h"
#include "launcher/config/dialects/long_duration.h"

namespace muster::config {
namespace {

using testing::ElementsAre;

std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> texts;
  const auto found = command_words(line);
  if (!found) return {"<never closed>"};
  for (const Word& word : *found) texts.push_back(word.text);
  return texts;
}

TEST(CommandWords, AreDividedAsAShellDoes) {
  EXPECT_THAT(words("  a 'b c' \"d e\"f\tg\\ h "), ElementsAre("a", "b c", "d ef", "g h"));
  EXPECT_THAT(words("'' \"\""), ElementsAre("", ""));
  EXPECT_THAT(words("'$A\\b' \"\\$A \\\"x\\\" \\n\""), ElementsAre("$A\\b", "$A \"x\" \\n"));
  EXPECT_THAT(words(" \n"), ElementsAre());
  EXPECT_THAT(words("a 'b"), ElementsAre("<never closed>"));
}

TEST(CommandWords, KeepTheirVariablesWhenTheyAreQuotedAgain) {
  EXPECT_EQ(quoted_but_variables("--lr=1.0"), "--lr=1.0");
  EXPECT_EQ(quoted_but_variables("two words"), "'two words'");
  EXPECT_EQ(quoted_but_variables("$HOME/a b"), "\"$HOME/a b\"");
  EXPECT_EQ(quoted_but_variables("$A`b`$(c)\"\\"), "\"$A\\`b\\`\\$(c)\\\"\\\\\"");
  EXPECT_EQ(quoted_but_variables(""), "''");
}

std::string program(std::string_view line) {
  const auto found = rank_program(line, command_words(line).value());
  return found ? found->program : "<" + found.error() + ">";
}

TEST(RankProgram, IsWhatFollowsTheOptionsOfMpirun) {
  EXPECT_EQ(program("mpirun -n 4 python 'a b.py'  -n 2"), "python 'a b.py'  -n 2");
  EXPECT_EQ(program("/usr/bin/mpiexec --hostfile h --mca btl self -x A=1 ./a"), "./a");
  EXPECT_EQ(program("mpirun"), "<mpirun has no program>");
  EXPECT_EQ(program("mpirun -n"), "<mpirun has no program>");
  EXPECT_EQ(program("mpirun --mca btl"), "<mpirun has no program>");
  EXPECT_EQ(program("cd x && mpirun a"), "<mpirun is in the middle of it>");
  EXPECT_EQ(program("mpirun -n 1 a : -n 2 b"), "<mpirun starts more than one program>");
  EXPECT_EQ(program("mpirun --what a"), "<--what of mpirun is not known>");
}

TEST(LongDuration, IsReadInBothForms) {
  EXPECT_EQ(parse_long_duration("P7D"), 604'800);
  EXPECT_EQ(parse_long_duration("pt1h30m5s"), 5405);
  EXPECT_EQ(parse_long_duration("P1DT0.5S"), 86'400);
  EXPECT_EQ(parse_long_duration("P1W"), 604'800);
  EXPECT_EQ(parse_long_duration("1.00:00:00"), 86'400);
  EXPECT_EQ(parse_long_duration("12:30:01.5"), 45'001);
}

TEST(LongDuration, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "P",
                           "PT",
                           "P1",
                           "P1Y",
                           "P1M",
                           "PT1D",
                           "PT1H1H",
                           "P1D1",
                           "7",
                           "1:2",
                           "24:00:00",
                           "00:60:00",
                           "00:00:00",
                           "PT0S",
                           "1.1.00:00:00",
                           "P1DT",
                           "P99999999999D",
                           "P999999999W",
                           "soon",
                           "-P1D"}) {
    EXPECT_EQ(parse_long_duration(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace muster::config
