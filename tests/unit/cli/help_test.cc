#include "launcher/cli/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "launcher/cli/options.h"

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::size_t columns(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & '\xC0') != '\x80'; }));
}

void expect_fits(const std::string& text) {
  for (const std::string& line : split(text, '\n')) {
    EXPECT_LE(columns(line), 80U) << line;
    EXPECT_FALSE(line.ends_with(' ')) << line;
  }
}

TEST(Help, NamesEveryCommandThatIsNotHidden) {
  const std::string text = help_text();
  expect_fits(text);
  for (const CommandRow& command : commands()) {
    const std::string row = "\n  " + std::string(command.name) + "  ";
    if (command.hidden) {
      EXPECT_THAT(text, Not(HasSubstr(row)));
    } else {
      EXPECT_THAT(text, HasSubstr(row));
    }
  }
}

TEST(Help, OfACommandNamesEachOfItsOptionsAndNoOther) {
  for (const CommandRow& command : commands()) {
    const std::string text = help_text(command);
    expect_fits(text);
    EXPECT_THAT(text, HasSubstr("usage: muster " + std::string(command.name)));
    for (const OptionRow& option : options()) {
      const std::string name = " --" + std::string(option.name) +
                               (option.takes_value() ? " " + std::string(option.argument) : "");
      if (option.hidden) continue;
      if (option.belongs_to(command.name)) {
        EXPECT_THAT(text, HasSubstr(name));
      } else if (find_option(command.name, option.name) == nullptr) {
        EXPECT_THAT(text, Not(HasSubstr("\n  " + name)));
      }
    }
  }
}

}  // namespace
}  // namespace muster::cli
