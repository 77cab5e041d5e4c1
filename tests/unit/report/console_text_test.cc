#include "launcher/report/console_text.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::report {
namespace {

using namespace std::string_literals;

// All of `bytes` at once, and its end.
std::string shown(std::string_view bytes, ConsoleLines::Options options = {}) {
  ConsoleLines console(std::move(options));
  std::string lines;
  console.add(bytes, lines);
  console.flush(lines);
  return lines;
}

std::string shown_bytewise(std::string_view bytes) {
  ConsoleLines console({});
  std::string lines;
  for (const char c : bytes) console.add(std::string_view(&c, 1), lines);
  console.flush(lines);
  return lines;
}

TEST(ConsoleLines, PassesWholeLinesAndKeepsThePartialOneForTheEnd) {
  ConsoleLines console({});
  std::string lines;
  console.add("one\ntw", lines);
  EXPECT_EQ(lines, "one\n");
  console.add("o\n\nthree", lines);
  EXPECT_EQ(lines, "one\ntwo\n\n");
  console.flush(lines);
  EXPECT_EQ(lines, "one\ntwo\n\nthree\n");
  console.flush(lines);
  EXPECT_EQ(lines, "one\ntwo\n\nthree\n");
}

TEST(ConsoleLines, PutsThePrefixBeforeEachLine) {
  EXPECT_EQ(shown("a\n\x1b[1mb\n\nc", {false, "[3] "}), "[3] a\n[3] b\n[3] \n[3] c\n");
}

TEST(ConsoleLines, ShowsOnlyTheLastStateOfAProgressBar) {
  EXPECT_EQ(shown("\r 10%\r 50%\r100%\ndone\n"), "100%\ndone\n");
  EXPECT_EQ(shown("100%\r\n"), "100%\n");
  EXPECT_EQ(shown("100%\r\r\r\n"), "100%\n");
  EXPECT_EQ(shown("a long text\rshort\n"), "short\n");
  EXPECT_EQ(shown("\r\rx\n\r\ny\r"), "x\n\ny\n");
}

TEST(ConsoleLines, DropsTheEraseInLineOfAProgressBar) {
  EXPECT_EQ(shown("\r\x1b[K 10%\r\x1b[2K 50%\x1b[0K\n"), " 50%\n");
  EXPECT_EQ(shown("\x1b[3K\x1b[2J\n"), "^[[3K^[[2J\n");
}

TEST(ConsoleLines, KeepsTheLiveStateOfAProgressBar) {
  ConsoleLines console({true, "[0] "});
  std::string lines;
  EXPECT_EQ(console.live(), "");
  console.add("\r\x1b[32m 10%\x1b[0m", lines);
  EXPECT_EQ(console.live(), "[0]  10%");
  console.add("\r 5", lines);
  console.add("0%\r", lines);
  EXPECT_EQ(console.live(), "[0]  50%") << "a return alone does not clear what stands there";
  console.add("x", lines);
  EXPECT_EQ(console.live(), "[0] x");
  EXPECT_EQ(lines, "");
  console.add("\n", lines);
  EXPECT_EQ(console.live(), "");
  EXPECT_EQ(lines, "[0] x\n");
}

TEST(ConsoleLines, LeavesHalfACharacterOutOfTheLiveState) {
  ConsoleLines console({});
  std::string lines;
  console.add("a\xe2\x96", lines);
  EXPECT_EQ(console.live(), "a");
  console.add("\x88\x1b[3", lines);
  EXPECT_EQ(console.live(), "a█");
}

TEST(ConsoleLines, KeepsColoursAndEndsThemWithTheLine) {
  EXPECT_EQ(shown("\x1b[1;31mred\x1b[0m.\n"), "\x1b[1;31mred\x1b[0m.\n");
  EXPECT_EQ(shown("\x1b[31mred\n"), "\x1b[31mred\x1b[0m\n");
  EXPECT_EQ(shown("\x1b[31mred\x1b[m.\n"), "\x1b[31mred\x1b[m.\n");
  EXPECT_EQ(shown("\x1b[38:5:208mx\n"), "\x1b[38:5:208mx\x1b[0m\n");
}

TEST(ConsoleLines, TakesColoursOutWhenTheyAreNotWanted) {
  EXPECT_EQ(shown("\x1b[1;31mred\x1b[0m.\x1b[2Jx\n", {false, ""}), "red.^[[2Jx\n");
}

TEST(ConsoleLines, SpellsOutWhatCouldSteerATerminal) {
  EXPECT_EQ(shown("\x1b[2J\x1b[Hx\n"), "^[[2J^[[Hx\n");
  EXPECT_EQ(shown("\x1b]0;title\a\n"), "^[]0;title^G\n");
  EXPECT_EQ(shown("\x1bP1$r\x1b\\\n"), "^[P1$r^[\\\n");
  EXPECT_EQ(shown("\x1b[>4mx\x1b[?25l\n"), "^[[>4mx^[[?25l\n");
  EXPECT_EQ(shown("\b\x7f\f\v\x0e\0\n"s), "^H^?^L^K^N^@\n");
  EXPECT_EQ(shown("\x9b"
                  "31m\xc2\x9b"
                  "2J\n"),
            "\\x9b31m\\xc2\\x9b2J\n");
  EXPECT_EQ(shown("\u202egpj.exe\u2069 …\n"), "\\xe2\\x80\\xaegpj.exe\\xe2\\x81\\xa9 …\n");
  EXPECT_EQ(shown("a\tb\n"), "a\tb\n");
  EXPECT_EQ(shown("\x1b"), "^[\n");
  EXPECT_EQ(shown("\x1b[3\n1m"), "^[[3\n1m\n");
  EXPECT_EQ(shown("\x1b[" + std::string(100, '1') + "m\n"), "^[[" + std::string(100, '1') + "m\n");
}

TEST(ConsoleLines, PassesUtf8AndSpellsOutOtherBytes) {
  EXPECT_EQ(shown("Größe 数 😀\u00a0|\n"), "Größe 数 😀\u00a0|\n");
  EXPECT_EQ(shown("\xff\xc0\xaf|\n"), "\\xff\\xc0\\xaf|\n");
  EXPECT_EQ(shown("\xed\xa0\x80|\n"), "\\xed\\xa0\\x80|\n") << "a surrogate";
  EXPECT_EQ(shown("\xe0\x80\xaf|\xf0\x80\x80\xaf|\xf4\x90\x80\x80\n"),
            "\\xe0\\x80\\xaf|\\xf0\\x80\\x80\\xaf|\\xf4\\x90\\x80\\x80\n");
  EXPECT_EQ(shown("a\xe2\x82\nb"), "a\\xe2\\x82\nb\n") << "cut off by the newline";
}

TEST(ConsoleLines, GivesTheSameLinesHoweverTheBytesAreCut) {
  const std::string text =
      "plain\n\x1b[1;31mröd\x1b[0m 😀\r\n\x1b]0;t\a\rnew\xff\n 10%\r 20%\r\n\r\n\x1b[31mlast";
  EXPECT_EQ(shown_bytewise(text), shown(text));

  std::mt19937 random(7);
  const std::string alphabet = "ab\n\r\x1b[;31m\xc3\xa9\xe2\x82\xac\x9b\t\x07"s;
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (int i = 0; i < 200; ++i) bytes += alphabet[random() % alphabet.size()];
    ASSERT_EQ(shown_bytewise(bytes), shown(bytes));
  }
}

TEST(ConsoleLines, FindsAControlByteAtEachPlaceInPlainText) {
  for (int value = 0; value < 128; ++value) {
    const char c = static_cast<char>(value);
    if (c == '\n' || c == '\r') continue;
    const bool control = (value < 0x20 && c != '\t') || value == 0x7f;
    const std::string expected =
        control ? std::string("^") + static_cast<char>(value ^ 0x40) : std::string(1, c);
    for (std::size_t at = 0; at < 20; ++at) {
      const std::string before(at, 'a');
      const std::string after(20 - at, 'z');
      ASSERT_EQ(shown(before + c + after), before + expected + after + "\n") << value;
    }
  }
}

TEST(ConsoleLines, NeverLetsAControlByteThrough) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::string bytes;
    for (int i = 0; i < 500; ++i) bytes += static_cast<char>(random() % 256);
    for (const char c : shown(bytes, {false, ""})) {
      const bool control = (c >= 0 && c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
      ASSERT_FALSE(control) << static_cast<int>(c);
    }
  }
}

TEST(ConsoleLines, CutsALongLineIntoMarkedPieces) {
  const std::string full(ConsoleLines::kMaxLine, 'x');
  EXPECT_EQ(shown(full + "\n"), full + "\n");
  EXPECT_EQ(shown(full + "y\n"), full + " …\ny\n");
  EXPECT_EQ(shown(full + full + "\n"), full + " …\n" + full + "\n");

  const std::string almost(ConsoleLines::kMaxLine - 1, 'x');
  EXPECT_EQ(shown(almost + "é!\n"), almost + " …\né!\n") << "not inside of a character";
  EXPECT_EQ(shown(almost + "\x1b[31m!\n"), almost + " …\n\x1b[31m!\x1b[0m\n");
}

TEST(ConsoleLines, KeepsLittleOfALineWithoutEnd) {
  ConsoleLines console({});
  std::string lines;
  const std::string chunk(1 << 20, 'z');
  std::size_t total = 0;
  for (int i = 0; i < 64; ++i) {
    lines.clear();
    console.add(chunk, lines);
    total += static_cast<std::size_t>(std::count(lines.begin(), lines.end(), 'z'));
    ASSERT_LE(console.live().size(), ConsoleLines::kMaxLine);
  }
  EXPECT_EQ(total + console.live().size(), 64U << 20);

  const std::string returns(1 << 20, '\r');
  for (int i = 0; i < 8; ++i) console.add(returns, lines);
  EXPECT_LE(console.live().size(), ConsoleLines::kMaxLine);
}

}  // namespace
}  // namespace muster::report
