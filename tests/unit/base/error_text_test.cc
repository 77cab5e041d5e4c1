#include "base/error_text.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

std::string shown(Location location) {
  Error error{ErrorCode::kConfig, "bad"};
  error.location = std::move(location);
  return format_error(error);
}

TEST(ErrorTextTest, AMessageAloneIsOneLine) {
  EXPECT_EQ(format_error(Error{ErrorCode::kInternal, "it broke"}), "muster: error: it broke\n");
  EXPECT_EQ(format_error(Error{ErrorCode::kInternal, "it broke"}, "muster-agent"),
            "muster-agent: error: it broke\n");
}

TEST(ErrorTextTest, TheHintComesLast) {
  Error error{ErrorCode::kConfig, "unknown key \"x\"", "did you mean \"y\"?"};
  error.location = Location{"run.yaml", 3, 1, "x: 4"};
  EXPECT_EQ(format_error(error),
            "muster: error: unknown key \"x\"\n"
            "  run.yaml:3:1: x: 4\n"
            "                ^\n"
            "  hint: did you mean \"y\"?\n");
}

TEST(ErrorTextTest, TheCaretStandsUnderTheColumn) {
  EXPECT_EQ(shown({"run.yaml", 7, 5, "key: value"}),
            "muster: error: bad\n"
            "  run.yaml:7:5: key: value\n"
            "                    ^\n");
}

TEST(ErrorTextTest, TheIndentOfTheSourceIsDroppedFromLineAndCaret) {
  EXPECT_EQ(shown({"f", 1, 5, "    key: value"}),
            "muster: error: bad\n"
            "  f:1:5: key: value\n"
            "         ^\n");
}

TEST(ErrorTextTest, ATabBeforeTheColumnIsATabBeforeTheCaret) {
  EXPECT_EQ(shown({"f", 1, 4, "a:\tb"}),
            "muster: error: bad\n"
            "  f:1:4: a:\tb\n"
            "           \t^\n");
}

TEST(ErrorTextTest, CharactersOfSeveralBytesTakeOnePlace) {
  // Columns count bytes: "é: " has four.
  EXPECT_EQ(shown({"f", 1, 5, "é: value"}),
            "muster: error: bad\n"
            "  f:1:5: é: value\n"
            "            ^\n");
}

TEST(ErrorTextTest, AColumnBehindTheLineIsStillShown) {
  EXPECT_EQ(shown({"f", 1, 5, "ab"}),
            "muster: error: bad\n"
            "  f:1:5: ab\n"
            "             ^\n");
}

TEST(ErrorTextTest, WhatIsUnknownIsLeftOut) {
  EXPECT_EQ(shown({"f", 0, 0, ""}), "muster: error: bad\n  f\n");
  EXPECT_EQ(shown({"f", 2, 0, "ab"}), "muster: error: bad\n  f:2: ab\n");
  EXPECT_EQ(shown({"f", 2, 3, ""}), "muster: error: bad\n  f:2:3\n");
}

TEST(ErrorTextTest, ABlankLineHasNoCaretInsideItsIndent) {
  EXPECT_EQ(shown({"f", 2, 1, "   "}), "muster: error: bad\n  f:2:1: \n");
}

}  // namespace
}  // namespace muster
