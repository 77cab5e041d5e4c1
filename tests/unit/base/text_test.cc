#include "base/text.h"

#include <cstdio>
#include <random>

#include <gtest/gtest.h>

namespace muster {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> kKeys = {"process_count_per_node", "node_count", "entry_script",
                                        "command"};

// What /bin/sh makes of the words, each ended by a NUL.
std::string words_seen_by_shell(const std::string& quoted) {
  std::FILE* shell = ::popen(("printf '%s\\0' " + quoted).c_str(), "r");
  if (shell == nullptr) return "no shell";
  std::string seen;
  for (int c = 0; (c = std::fgetc(shell)) != EOF;) seen += static_cast<char>(c);
  ::pclose(shell);
  return seen;
}

TEST(TextTest, SplitKeepsEmptyParts) {
  EXPECT_EQ(split("a::b:", ':'), (std::vector<std::string>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ':'), (std::vector<std::string>{""}));
}

TEST(TextTest, JoinUndoesSplit) {
  for (const std::string text : {"", "a", "a,b", ",a,,b,"}) {
    EXPECT_EQ(join(split(text, ','), ","), text);
  }
  EXPECT_EQ(join({}, ","), "");
}

TEST(DidYouMeanTest, FindsAMisspeltWord) {
  EXPECT_EQ(did_you_mean("proces_count_per_node", kKeys), "process_count_per_node");
  EXPECT_EQ(did_you_mean("node-count", kKeys), "node_count");
  EXPECT_EQ(did_you_mean("comand", kKeys), "command");
  EXPECT_EQ(did_you_mean_hint("comand", kKeys), "did you mean \"command\"?");
}

TEST(DidYouMeanTest, IsSilentWhenNothingIsNear) {
  EXPECT_EQ(did_you_mean("learning_rate", kKeys), std::nullopt);
  EXPECT_EQ(did_you_mean("", kKeys), std::nullopt);
  EXPECT_EQ(did_you_mean("word", {}), std::nullopt);
  EXPECT_EQ(did_you_mean_hint("learning_rate", kKeys), "");
}

TEST(DidYouMeanTest, TakesTheNearestOfSeveral) {
  const std::vector<std::string> near = {"nodes", "node", "modes"};
  EXPECT_EQ(did_you_mean("nodess", near), "nodes");
}

TEST(ShellQuotedTest, LeavesAPlainWordAlone) {
  EXPECT_EQ(shell_quoted("--lr=0.1"), "--lr=0.1");
  EXPECT_EQ(shell_quoted("/usr/bin/python3"), "/usr/bin/python3");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("a b"), "'a b'");
}

TEST(ShellQuotedTest, EveryByteSurvivesTheShell) {
  std::vector<std::string> words = {
      "",   "it's", "$HOME `id` $(id)", "a\nb",  "*",    "~", "~root", "!x", "#x", "-n", "\\",
      "\"", "''",   "a;b&c|d",          "{a,b}", "é\xff"};
  for (int byte = 1; byte < 256; ++byte) words.emplace_back(1, static_cast<char>(byte));
  std::string expected;
  for (const std::string& word : words) expected += word + '\0';
  EXPECT_EQ(words_seen_by_shell(shell_quoted(words)), expected);
}

TEST(ShellQuotedTest, RandomWordsSurviveTheShell) {
  std::mt19937 random(7);
  std::vector<std::string> words;
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    std::string word;
    for (auto length = random() % 12; length > 0; --length) {
      word += static_cast<char>(1 + random() % 255);
    }
    expected += word + '\0';
    words.push_back(std::move(word));
  }
  EXPECT_EQ(words_seen_by_shell(shell_quoted(words)), expected);
}

TEST(FormatDurationTest, ChoosesTheUnitAPersonWould) {
  EXPECT_EQ(format_duration(0ms), "0 ms");
  EXPECT_EQ(format_duration(850ms), "850 ms");
  EXPECT_EQ(format_duration(999ms), "999 ms");
  EXPECT_EQ(format_duration(999'600us), "1.0 s");
  EXPECT_EQ(format_duration(12'340ms), "12.3 s");
  EXPECT_EQ(format_duration(59'940ms), "59.9 s");
  EXPECT_EQ(format_duration(59'960ms), "1 min 00 s");
  EXPECT_EQ(format_duration(245s), "4 min 05 s");
  EXPECT_EQ(format_duration(3599'700ms), "1 h 00 min");
  EXPECT_EQ(format_duration(2h + 3min + 59s), "2 h 03 min");
  EXPECT_EQ(format_duration(100h), "100 h 00 min");
}

TEST(FormatBytesTest, ChoosesTheUnitAPersonWould) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(3 << 19), "1.5 MiB");
  EXPECT_EQ(format_bytes((1U << 20) - 1), "1.0 MiB");
  EXPECT_EQ(format_bytes(UINT64_MAX), "16.0 EiB");
}

TEST(FormatUtcTest, IsRfc3339WithMicroseconds) {
  const std::chrono::system_clock::time_point epoch;
  EXPECT_EQ(format_utc(epoch), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(format_utc(epoch + 1'795'414'500s + 123'456us), "2026-11-23T06:15:00.123456Z");
  EXPECT_EQ(format_utc(epoch + 7us), "1970-01-01T00:00:00.000007Z");
}

TEST(WithoutControlsTest, KeepsTextAndTabsAndTheLength) {
  EXPECT_EQ(without_controls("plain\té€😀"), "plain\té€😀");
  EXPECT_EQ(without_controls("a\x1b[2Jb\rc\nd\x7f"), "a?[2Jb?c?d?");
  EXPECT_EQ(without_controls(std::string_view("\0", 1)), "?");
  EXPECT_EQ(without_controls("\xc2\x9b"
                             "31m \xc2\xa0"),
            "??31m \xc2\xa0")
      << "C1 as UTF-8";
  EXPECT_EQ(without_controls("cut \xc2"), "cut \xc2");
  EXPECT_EQ(without_controls("a\u202eb\u2066c\u2069 \u2026"), "a???b???c??? \u2026");
  EXPECT_EQ(without_controls("cut \xe2\x80"), "cut \xe2\x80");
}

TEST(CountedTest, KnowsOneFromMany) {
  EXPECT_EQ(counted(0, "rank"), "0 ranks");
  EXPECT_EQ(counted(1, "rank"), "1 rank");
  EXPECT_EQ(counted(4, "rank"), "4 ranks");
  EXPECT_EQ(counted(2, "process"), "2 processes");
}

TEST(ParseIntegerTest, TakesTheWholeTextOrNothing) {
  EXPECT_EQ(parse_integer("4"), 4);
  EXPECT_EQ(parse_integer("-3"), -3);
  EXPECT_EQ(parse_integer("9223372036854775807"), INT64_MAX);
  for (const std::string text :
       {"", " ", "4 ", " 4", "+4", "1e3", "four", "4.0", "0x4", "--4", "9223372036854775808"}) {
    EXPECT_EQ(parse_integer(text), std::nullopt) << "\"" << text << "\"";
  }
}

}  // namespace
}  // namespace muster
