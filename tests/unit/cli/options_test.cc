// What must hold for every row of the table of options.
#include "launcher/cli/options.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "launcher/cli/command_line.h"
#include "launcher/cli/commands.h"
#include "launcher/config/read_config.h"
#include "launcher/plan/environment_names.h"

namespace muster::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// A value that the option takes.
std::string good_value(const OptionRow& option) {
  const auto choices = choices_of(option);
  if (!choices.empty()) return choices.back();
  if (option.name == "set") return "node_count=1";
  if (option.name == "node-rank") return "0";
  return "1";
}

std::vector<std::string> commands_of(const OptionRow& option) {
  if (option.commands != "*") return split(option.commands, ' ');
  std::vector<std::string> names;
  for (const CommandRow& command : commands()) names.emplace_back(command.name);
  return names;
}

TEST(Options, BelongToCommandsThatThereAre) {
  for (const OptionRow& option : options()) {
    for (const std::string& command : commands_of(option)) {
      EXPECT_NE(find_command(command), nullptr) << option.name << ": " << command;
      EXPECT_TRUE(option.belongs_to(command));
    }
    EXPECT_FALSE(option.help.empty() || option.heading.empty()) << option.name;
  }
}

TEST(Options, EachNameMeansOneOptionOfACommand) {
  for (const CommandRow& command : commands()) {
    std::set<std::string> names;
    for (const OptionRow* option : options_of(command.name)) {
      for (const std::string& name : long_names(*option)) {
        EXPECT_TRUE(names.insert("--" + name).second) << command.name << " --" << name;
      }
      if (option->short_name != '\0') {
        EXPECT_TRUE(names.insert(std::string("-") + option->short_name).second)
            << command.name << " -" << option->short_name;
      }
    }
  }
}

TEST(Options, AreParsedByEachOfTheirNames) {
  for (const OptionRow& option : options()) {
    if (option.name == "help") continue;
    for (const std::string& command : commands_of(option)) {
      for (const std::string& name : long_names(option)) {
        std::vector<std::string> words{"--" + name};
        if (option.takes_value()) words.push_back(good_value(option));
        const auto line = parse_command_line(command, words, {});
        ASSERT_TRUE(line) << command << " " << words.front() << ": " << line.error().message;
        EXPECT_TRUE(line->has(option.name)) << command << " --" << name;
        EXPECT_EQ(line->text(option.name), option.takes_value() ? good_value(option) : "");
      }
    }
  }
}

TEST(Options, AreSetByTheirVariableToo) {
  for (const OptionRow& option : options()) {
    const std::string variable = variable_of(option);
    if (variable.empty()) continue;
    const std::string value = option.takes_value() ? good_value(option) : "1";
    for (const std::string& command : commands_of(option)) {
      const auto line = parse_command_line(command, {}, {{variable, value}});
      ASSERT_TRUE(line) << command << " " << variable << ": " << line.error().message;
      EXPECT_EQ(line->given.find(option.name)->second.front().by, variable);
    }
  }
}

TEST(Options, HaveVariablesOfTheirOwn) {
  std::map<std::string, std::string_view> options_by_variable;
  for (const OptionRow& option : options()) {
    const std::string variable = variable_of(option);
    if (variable.empty()) continue;
    // Two rows with one name are one option whose choices differ between commands.
    const auto [at, added] = options_by_variable.emplace(variable, option.name);
    EXPECT_EQ(at->second, option.name) << variable;
  }
}

// What a run is told is no business of a run that one of its ranks starts.
TEST(Options, ReachRanksOnlyWhereTheTableSaysSo) {
  for (const OptionRow& option : options()) {
    const std::string variable = variable_of(option);
    if (variable.empty()) continue;
    EXPECT_EQ(!plan::is_dropped_from_ranks(variable), option.reaches_ranks) << variable;
    EXPECT_EQ(!plan::is_dropped_from_mpirun(variable), option.reaches_ranks) << variable;
  }
}

TEST(Options, SetKeysThatTheConfigHas) {
  const auto keys = config::key_paths();
  for (const OptionRow& option : options()) {
    if (option.key.empty() || option.key.starts_with("environment.variables.")) continue;
    EXPECT_THAT(keys, Contains(std::string(option.key))) << option.name;
    EXPECT_EQ(option.takes_value(), option.switch_value.empty()) << option.name;
  }
}

TEST(Options, NameTheirChoicesInTheirPlaceholder) {
  for (const OptionRow& option : options()) {
    for (const std::string& choice : choices_of(option)) {
      EXPECT_THAT(std::string(option.argument), HasSubstr(choice)) << option.name;
    }
  }
}

}  // namespace
}  // namespace muster::cli
