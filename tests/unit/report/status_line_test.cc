#include "launcher/report/status_line.h"

#include <cstdlib>
#include <pty.h>

#include <gtest/gtest.h>

#include "base/fd.h"

namespace muster::report {
namespace {

TEST(Elided, KeepsWhatFitsAndMarksWhatDoesNot) {
  EXPECT_EQ(elided("4/4 ranks", 9), "4/4 ranks");
  EXPECT_EQ(elided("4/4 ranks", 8), "4/4 ran…");
  EXPECT_EQ(elided("", 8), "");
  EXPECT_EQ(elided("abc", 1), "…");
}

TEST(Elided, CountsCodePointsNotBytes) {
  EXPECT_EQ(elided("ééééé", 5), "ééééé");
  EXPECT_EQ(elided("ééééé", 4), "ééé…");
}

TEST(Elided, TurnsControlCharactersIntoBlanks) {
  EXPECT_EQ(elided("a\tb\x1b[c\n", 80), "a b [c ");
}

TEST(StatusLine, IsPrintedOverItself) {
  StatusLine status(true, false);
  EXPECT_EQ(status.show("1 of 2", 80), "\r\x1b[K1 of 2");
  EXPECT_EQ(status.show("1 of 2", 80), "") << "nothing changed";
  EXPECT_EQ(status.show("2 of 2", 80), "\r\x1b[K2 of 2");
  EXPECT_EQ(status.hide(), "\r\x1b[K");
  EXPECT_EQ(status.hide(), "") << "hidden already";
  EXPECT_EQ(status.show("2 of 2", 80), "\r\x1b[K2 of 2") << "shown again after lines were printed";
  EXPECT_EQ(status.show("", 80), "\r\x1b[K");
}

TEST(StatusLine, HasNoColourWithNoColor) {
  StatusLine plain(true, false);
  EXPECT_EQ(plain.show("x", 80).find("m"), std::string::npos);
  StatusLine colored(true, true);
  EXPECT_EQ(colored.show("x", 80), "\r\x1b[K\x1b[2mx\x1b[0m");
}

TEST(StatusLine, SaysNothingWhenItIsNotEnabled) {
  StatusLine status(false, true);
  EXPECT_EQ(status.show("x", 80), "");
  EXPECT_EQ(status.hide(), "");
}

TEST(StatusLine, TakesAwayAllRowsThatANarrowerTerminalMadeOfIt) {
  StatusLine status(true, false);
  const std::string text(50, 'x');
  status.show(text, 80);
  EXPECT_EQ(status.resize(60), "") << "it still fits";
  EXPECT_EQ(status.resize(20), "\r\x1b[2A\x1b[J");
  EXPECT_EQ(status.resize(20), "") << "it is not shown any more";
  EXPECT_EQ(status.show("y", 20), "\r\x1b[Ky");
}

TEST(StatusLine, LeavesTheLastColumnFreeAndRoomForAKeyThatIsEchoed) {
  StatusLine status(true, false);
  EXPECT_EQ(status.show("123456789012", 13), "\r\x1b[K123456789…");
}

TEST(Terminal, ThatIsNobodysIsOursToDrawOn) {
  EXPECT_TRUE(is_foreground(-1));
}

TEST(Terminal, TellsItsColumns) {
  int master = -1;
  int slave = -1;
  const winsize size{24, 57, 0, 0};
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
  const Fd owned_master(master);
  const Fd owned_slave(slave);
  EXPECT_EQ(terminal_columns(slave), 57);
  EXPECT_EQ(terminal_columns(-1), 80);
}

TEST(Terminal, IsOverprintedUnlessTermIsUnsetOrDumb) {
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(terminal_overprints());
  ::unsetenv("TERM");
  EXPECT_FALSE(terminal_overprints());
  ::setenv("TERM", "xterm", 1);
  EXPECT_TRUE(terminal_overprints());
}

TEST(Terminal, HasColoursUnlessNoColorSaysSomething) {
  ::unsetenv("NO_COLOR");
  EXPECT_TRUE(color_wanted());
  ::setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(color_wanted());
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(color_wanted());
  ::unsetenv("NO_COLOR");
}

}  // namespace
}  // namespace muster::report
