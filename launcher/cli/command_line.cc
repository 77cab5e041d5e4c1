// cxxopts splits the words; the table of options says which command takes which option, so that a
// wrong one is told with the nearest right one, and which variable stands for it.

#include "launcher/cli/command_line.h"

#define CXXOPTS_VECTOR_DELIMITER '\0'  // a --set value may hold commas
#include <cxxopts.hpp>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "launcher/cli/options.h"

namespace muster::cli {
namespace {

using config::Origin;
using config::Override;
using Given = std::map<std::string, std::vector<GivenValue>, std::less<>>;

std::string try_help(const std::string& command) {
  return "`muster " + command + " --help` lists the options";
}

// "--console al" or "MUSTER_CONSOLE=al", as it was given.
std::string as_given(const GivenValue& value) {
  return value.by + (value.by.starts_with('-') ? " " : "=") + value.text;
}

Result<> check_choice(const OptionRow& option, const GivenValue& value) {
  const auto choices = choices_of(option);
  // The config checks what goes into it, and its messages know more.
  if (choices.empty() || !option.key.empty()) return {};
  if (std::find(choices.begin(), choices.end(), value.text) != choices.end()) return {};
  const std::string near = did_you_mean_hint(value.text, choices);
  return fail(ErrorCode::kUsage, as_given(value) + " is not a choice",
              near.empty() ? "write one of " + join(choices, ", ") : near);
}

// Whether a switch is on: "--json", "--json=false", MUSTER_JSON=1.
Result<bool> switch_is_on(const GivenValue& value) {
  constexpr std::array kOn = {"1", "true", "yes", "on"};
  constexpr std::array kOff = {"0", "false", "no", "off"};
  if (std::find(kOn.begin(), kOn.end(), value.text) != kOn.end()) return true;
  if (std::find(kOff.begin(), kOff.end(), value.text) != kOff.end()) return false;
  return fail(ErrorCode::kUsage, as_given(value) + " is neither on nor off",
              "write 1 to switch it on, or 0");
}

Result<> add(const OptionRow& option, GivenValue value, Given& given) {
  if (!option.takes_value()) {
    MUSTER_TRY_ASSIGN(const bool on, switch_is_on(value));
    if (!on) return {};
    value.text.clear();
  }
  MUSTER_TRY(check_choice(option, value));
  given[std::string(option.name)].push_back(std::move(value));
  return {};
}

// Inside a rank it names the run around us, and no new one.
bool names_the_run_around(const std::string& variable, const CallerEnvironment& environment) {
  return variable == "MUSTER_RUN_ID" && environment.contains("MUSTER_METRICS");
}

Result<Given> given_by_variables(const std::string& command, const CallerEnvironment& environment) {
  Given given;
  for (const OptionRow* option : options_of(command)) {
    const std::string name = variable_of(*option);
    const auto variable = environment.find(name);
    if (name.empty() || variable == environment.end() || variable->second.empty()) continue;
    if (names_the_run_around(name, environment)) continue;
    if (!option->repeats) {
      MUSTER_TRY(add(*option, {variable->second, name}, given));
      continue;
    }
    for (const std::string& line : split(variable->second, '\n')) {
      if (!line.empty()) MUSTER_TRY(add(*option, {line, name}, given));
    }
  }
  return given;
}

Failure unknown_option(const std::string& command, const std::string& word) {
  std::vector<std::string> known;
  for (const OptionRow* option : options_of(command)) {
    known.push_back("--" + std::string(option->name));
  }
  const std::string near = did_you_mean_hint(word.substr(0, word.find('=')), known);
  return fail(ErrorCode::kUsage, "unknown option " + word + " for muster " + command,
              near.empty() ? try_help(command) : near + " " + try_help(command));
}

cxxopts::Options known_to_cxxopts(const std::string& command) {
  cxxopts::Options known("muster " + command);
  known.allow_unrecognised_options();
  for (const OptionRow* option : options_of(command)) {
    for (const std::string& name : long_names(*option)) {
      const bool own = name == option->name;
      const std::string spec = own && option->short_name != '\0'
                                   ? std::string(1, option->short_name) + "," + name
                                   : name;
      if (option->takes_value()) {
        known.add_options()(spec, "", cxxopts::value<std::vector<std::string>>());
      } else {
        known.add_options()(spec, "");
      }
    }
  }
  return known;
}

// Fills `line.words`; returns the options.
Result<Given> given_by_words(const std::string& command, std::span<const std::string> words,
                             CommandLine& line) {
  std::vector<const char*> argv{"muster"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  Given given;
  try {
    auto known = known_to_cxxopts(command);
    const auto parsed = known.parse(static_cast<int>(argv.size()), argv.data());
    line.help = parsed.count("help") > 0;
    if (line.help) return given;
    for (const std::string& word : parsed.unmatched()) {
      if (word.size() > 1 && word.front() == '-') return unknown_option(command, word);
      line.words.push_back(word);
    }
    for (const auto& argument : parsed.arguments()) {
      const OptionRow* option = find_option(command, argument.key());
      const std::string by =
          argument.key() == option->name ? shown_name(*option) : "--" + argument.key();
      MUSTER_TRY(add(*option, {argument.value(), by}, given));
    }
  } catch (const std::exception& problem) {
    return fail(ErrorCode::kUsage, "muster " + command + ": " + problem.what(), try_help(command));
  }
  return given;
}

Origin origin_of(const GivenValue& value) {
  const bool flag = value.by.starts_with('-');
  return {flag ? Origin::Kind::kFlag : Origin::Kind::kEnvironment, value.by, std::nullopt};
}

// What sets the config: --set first, because an option of its own says it more plainly.
Result<> add_overrides(const std::string& command, const Given& given,
                       std::vector<Override>& overrides) {
  if (const auto sets = given.find("set"); sets != given.end()) {
    for (const GivenValue& value : sets->second) {
      MUSTER_TRY_ASSIGN(Override made, config::parse_set(value.text, value.by));
      overrides.push_back(std::move(made));
    }
  }
  for (const OptionRow* option : options_of(command)) {
    const auto found = given.find(option->name);
    if (option->key.empty() || found == given.end()) continue;
    const GivenValue& value = found->second.back();
    overrides.push_back({std::string(option->key),
                         option->takes_value() ? value.text : std::string(option->switch_value),
                         origin_of(value)});
  }
  return {};
}

Result<> check_run_id(const GivenValue& run_id) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  const std::string& text = run_id.text;
  if (!text.empty() && text.size() <= 100 && text.front() != '.' && text.front() != '-' &&
      text.find_first_not_of(kAllowed) == std::string::npos) {
    return {};
  }
  return fail(ErrorCode::kUsage, run_id.by + " \"" + text + "\" cannot name a directory",
              "use up to 100 letters, digits, dots, dashes and underscores");
}

template <typename T, std::size_t N>
void choose(const CommandLine& line, std::string_view option,
            const std::pair<std::string_view, T> (&choices)[N], T& chosen) {
  const auto text = line.text(option);
  for (const auto& [name, value] : choices) {
    if (text == name) chosen = value;
  }
}

// The types that commands want.  The table has checked that each text is a choice.
Result<> fill_in(CommandLine& line) {
  using report::ConsoleMode;
  choose<ConsoleMode>(line, "console",
                      {{"rank0", ConsoleMode::kRank0},
                       {"all", ConsoleMode::kAll},
                       {"none", ConsoleMode::kNone},
                       {"errors", ConsoleMode::kErrors}},
                      line.console);
  choose<bool>(line, "stdin", {{"none", false}, {"rank0", true}}, line.stdin_to_rank0);
  choose<Format>(line, "format",
                 {{"text", Format::kText}, {"json", Format::kJson}, {"argv", Format::kArgv}},
                 line.format);
  line.detach = line.has("detach");
  if (line.has("json")) line.format = Format::kJson;
  line.topology_file = line.text("topology").value_or("");
  line.runs_dir = line.text("runs-dir").value_or(line.runs_dir);
  line.run_id = line.text("run-id");
  if (line.run_id) MUSTER_TRY(check_run_id(line.given.find("run-id")->second.back()));
  return {};
}

}  // namespace

std::optional<std::string> CommandLine::text(std::string_view option) const {
  const auto found = given.find(option);
  if (found == given.end()) return std::nullopt;
  return found->second.back().text;
}

std::vector<std::string> CommandLine::texts(std::string_view option) const {
  std::vector<std::string> all;
  if (const auto found = given.find(option); found != given.end()) {
    for (const GivenValue& value : found->second) all.push_back(value.text);
  }
  return all;
}

Result<CommandLine> parse_command_line(const std::string& command,
                                       std::span<const std::string> words,
                                       const CallerEnvironment& environment) {
  CommandLine line;
  line.command = command;
  const auto dashes = std::find(words.begin(), words.end(), "--");
  if (dashes != words.end()) line.after_dashes.emplace(dashes + 1, words.end());
  MUSTER_TRY_ASSIGN(Given flags, given_by_words(command, {words.begin(), dashes}, line));
  if (line.help) return line;
  MUSTER_TRY_ASSIGN(Given variables, given_by_variables(command, environment));

  // The later counts.
  MUSTER_TRY(add_overrides(command, variables, line.overrides));
  MUSTER_TRY(add_overrides(command, flags, line.overrides));
  line.given = std::move(flags);
  line.given.merge(variables);
  return fill_in(line).transform([&] { return std::move(line); });
}

}  // namespace muster::cli
