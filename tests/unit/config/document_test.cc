// Texts that are no config at all, and texts made to do harm.

#include <gmock/gmock.h>

#include <random>

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Document, SaysThatAnEmptyTextIsEmpty) {
  const std::string expected =
      "muster: error: run.yaml is empty\n  run.yaml\n"
      "  hint: a run config begins like \"entry_script: train.py\"\n";
  EXPECT_EQ(problems_of(""), expected);
  EXPECT_EQ(problems_of("# only this\n"), expected);
  EXPECT_EQ(problems_of("---\n"), expected);
}

TEST(Document, RefusesASingleValue) {
  EXPECT_THAT(problems_of("import torch\n"),
              StartsWith("muster: error: run.yaml holds a single value, not keys with values\n"
                         "  run.yaml:1:1: import torch\n"));
}

TEST(Document, RefusesASecondDocument) {
  EXPECT_THAT(problems_of("entry_script: a.py\n---\nentry_script: b.py\n"),
              HasSubstr("run.yaml holds more than one YAML document"));
}

TEST(Document, PointsAtAByteThatIsNoText) {
  using namespace std::string_literals;
  EXPECT_EQ(problems_of("a: 1\nb: \0\n"s),
            "muster: error: run.yaml contains a NUL byte\n  run.yaml:2:4\n"
            "  hint: save it as UTF-8 text\n");
  // yaml-cpp would take this byte for the end of the file, and drop what follows.
  EXPECT_THAT(problems_of("entry_script: a.py\n\x04\nnode_count: 0\n"),
              HasSubstr("contains a control character"));
}

// A file is shown in messages; it must not drive the terminal.
TEST(Document, ShowsALineWithoutItsControlCharacters) {
  EXPECT_THAT(problems_of("proces_count: 1 # \x7f \xc2\x9b\rmuster: all is well\n"),
              HasSubstr("proces_count: 1 # ? ???muster: all is well\n"));
}

TEST(Document, PointsAtASyntaxError) {
  EXPECT_EQ(problems_of("entry_script: train.py\nlimits: {drain_timeout: 3s\n"),
            "muster: error: cannot read run.yaml as YAML: end of map flow not found\n"
            "  run.yaml:2:9: limits: {drain_timeout: 3s\n"
            "                        ^\n"
            "  hint: close the mapping with }\n");
}

TEST(Document, RefusesAliasesThatLeadNowhereOrToThemselves) {
  EXPECT_THAT(problems_of("entry_script: *nowhere\n"), HasSubstr("anchor is not defined"));
  EXPECT_THAT(problems_of("script_params: &a {--x: *a}\n"), HasSubstr("run.yaml:1:25"));
}

TEST(Document, RefusesTagsOfOtherPrograms) {
  EXPECT_THAT(problems_of("script_params: !include params.yaml\n"),
              HasSubstr("the tag \"!include\" is not supported"));
  EXPECT_EQ(problems_of("entry_script: !!str train.py\n"), "");
}

TEST(Document, KnowsQuotesThatAreClosed) {
  EXPECT_EQ(problems_of("\"entry_script\": &a \"a \\\" b\"\nscript_params: {'--it''s': 'x'}\n"),
            "");
}

TEST(Document, FindsAQuoteThatIsNeverClosed) {
  EXPECT_THAT(problems_of("entry_script: a.py\nsource_directory: &a 'x\n"),
              HasSubstr("the quote that opens here is never closed\n  run.yaml:2:19"));
}

std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(Document, RefusesHugeTexts) {
  EXPECT_THAT(problems_of(std::string(5'000'000, 'a')), HasSubstr("more than the 4 MiB"));
}

TEST(Document, RefusesDeepNesting) {
  EXPECT_THAT(problems_of(repeated("[", 20'000)), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(problems_of(repeated("- ", 20'000)), HasSubstr("nested deeper than 64 levels"));
}

TEST(Document, RefusesMoreValuesThanAnyConfigHas) {
  EXPECT_THAT(problems_of("script_params: [" + repeated("a,", 120'000) + "]"),
              HasSubstr("more than 100000 values"));
}

TEST(Document, DoesNotExpandAliasesOfAliases) {
  std::string text = "entry_script: a.py\nscript_params:\n  --a0: &a0 [x, x]\n";
  for (int i = 1; i < 60; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "  --a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before + ", " +
            before + "]\n";
  }
  EXPECT_THAT(problems_of(text), HasSubstr("script_params.--a59: it takes a value"));
}

TEST(Document, NeverFailsOtherThanWithProblemsOnDamagedTexts) {
  std::mt19937 random(20240611);
  const std::string pool = "{}[]:,-?&*!|>'\"%@`#~ \t\n\r<=.0aé\\\xFF";
  for (const char* name : {"full.yaml", "many_errors.yaml", "anchors.yaml", "command.yaml"}) {
    const std::string whole = test_file(name);
    ASSERT_FALSE(whole.empty());
    for (int round = 0; round < 1500; ++round) {
      std::string text = whole;
      for (int edits = 1 + static_cast<int>(random() % 4); edits > 0; --edits) {
        const std::size_t at = random() % text.size();
        switch (random() % 3) {
          case 0: text[at] = pool[random() % pool.size()]; break;
          case 1: text.insert(at, 1, pool[random() % pool.size()]); break;
          default: text.erase(at, 1 + random() % 20); break;
        }
        if (text.empty()) text = "x";
      }
      const auto config = read(text);
      if (config) continue;
      ASSERT_FALSE(config.error().empty()) << text;
      for (const Error& problem : config.error()) {
        ASSERT_FALSE(problem.message.empty()) << text;
        ASSERT_TRUE(problem.location.has_value()) << problem.message << "\n" << text;
      }
    }
  }
}

}  // namespace
}  // namespace muster::config
