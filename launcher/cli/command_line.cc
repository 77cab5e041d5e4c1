// cxxopts splits the words; the table of options says which command takes which option, so that a
// wrong one is told with the nearest right one, and which variable stands for it.

#include "launcher/cli/command_line.h"

// A --set value may hold commas.
#define CXXOPTS_VECTOR_DELIMITER '\0'  // NOLINT(readability-identifier-naming)
#include <cxxopts.hpp>

#include <algorithm>

#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/given_values.h"
#include "launcher/cli/options.h"
#include "launcher/cli/process_counts.h"

namespace muster::cli {
namespace {

using config::Origin;
using config::Override;

std::string try_help(const std::string& command) {
  return "`muster " + command + " --help` lists the options";
}

Failure unknown_option(const std::string& command, const std::string& word) {
  std::vector<std::string> known;
  for (const OptionRow* option : options_of(command)) {
    for (const std::string& name : long_names(*option)) known.push_back("--" + name);
  }
  std::string written = word.substr(0, word.find('='));
  std::replace(written.begin(), written.end(), '_', '-');
  const std::string near = did_you_mean_hint(written, known);
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

// torchrun's "1:1" and "1:4": as many nodes as there may be.
std::string most_nodes(const std::string& text) {
  return text.substr(text.find(':') + 1);
}

bool is_torchruns_auto(const GivenValue& value) {
  return value.by == "--nproc-per-node" && value.text == "auto";
}

// mpirun has its short words with one dash: -np.
std::string spelled(const std::string& name) {
  return (name.size() < 4 ? "-" : "--") + name;
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
      const bool own = argument.key() == option->name;
      const GivenValue value{argument.value(), own ? shown_name(*option) : spelled(argument.key())};
      if (!own) {
        std::string text = option->name == "nodes" ? most_nodes(value.text) : value.text;
        if (is_torchruns_auto(value)) text = "gpu where one can be seen, else -n cpu";
        line.echoes.push_back({value.by + " " + value.text, shown_name(*option) + " " + text});
      }
      MUSTER_TRY(add_given(*option, value, given));
    }
  } catch (const std::exception& problem) {
    return fail(ErrorCode::kUsage, "muster " + command + ": " + problem.what(), try_help(command));
  }
  return given;
}

Origin origin_of(const OptionRow& option, const GivenValue& value) {
  if (!value.by.starts_with('-')) return {Origin::Kind::kEnvironment, value.by, std::nullopt};
  const std::string own = shown_name(option);
  const bool alias = value.by != own && value.by != "--" + std::string(option.name);
  return {Origin::Kind::kFlag, alias ? value.by + " (" + own + ")" : value.by, std::nullopt};
}

// `--nproc-per-node train.py`: the script went where the number belongs.
Result<> check_count(const GivenValue& value) {
  if (!value.text.ends_with(".py") && !value.text.starts_with("python")) return {};
  return fail(ErrorCode::kUsage,
              value.by + " took \"" + value.text + "\" as its value, the number of ranks",
              "write the number before it: " + value.by + " 4 " + value.text);
}

// The name of a host, or an address.
Result<> check_address(const GivenValue& value) {
  if (!value.text.empty() && value.text.find_first_of(" \t\r\n\v\f") == std::string::npos)
    return {};
  return fail(ErrorCode::kUsage, value.by + " \"" + value.text + "\" is no host",
              "write a name or an address without blanks, or leave it out: it is 127.0.0.1");
}

// Whether the text is a port; 0 leaves the choice to whoever opens it.
Result<> check_port(const GivenValue& value) {
  const auto port = parse_integer(value.text);
  if (port && *port >= 0 && *port <= 65535) return {};
  return fail(ErrorCode::kUsage, as_given(value) + ": it is no port",
              "write a number from 1 to 65535, or leave it out: Muster finds a free one");
}

// One option that sets one key.
void add_override(const OptionRow& option, const GivenValue& value, CommandLine& line) {
  std::string text = option.takes_value() ? value.text : std::string(option.switch_value);
  if (option.name == "nodes") text = most_nodes(text);
  if (is_torchruns_auto(value)) text = kGpuElseCpu;
  // A wrong one may be overruled: that is seen when both are known.
  if (option.name == "master-port" && parse_integer(value.text) == 0) {
    std::erase_if(line.overrides,
                  [&](const Override& each) { return each.key_path == option.key; });
    return;
  }
  line.overrides.push_back({std::string(option.key), text, origin_of(option, value)});
}

// "-x NAME=VALUE", or "-x NAME" for the value that this process has.
void add_variable(const GivenValue& value, const CallerEnvironment& environment,
                  CommandLine& line) {
  const std::size_t equals = value.text.find('=');
  const std::string name = value.text.substr(0, equals);
  std::string text = equals == std::string::npos ? "" : value.text.substr(equals + 1);
  if (equals == std::string::npos) {
    const auto here = environment.find(name);
    if (here == environment.end()) {
      line.warnings.push_back(as_given(value) + ": there is no such variable here; write " + name +
                              "=VALUE to set one");
      return;
    }
    text = here->second;
  }
  const bool flag = value.by.starts_with('-');
  line.overrides.push_back(
      {"environment.variables." + name,
       std::move(text),
       {flag ? Origin::Kind::kFlag : Origin::Kind::kEnvironment, as_given(value), std::nullopt}});
}

// What sets the config: --set first, because an option of its own says it more plainly.
Result<> add_overrides(const Given& given, const CallerEnvironment& environment,
                       CommandLine& line) {
  if (const auto sets = given.find("set"); sets != given.end()) {
    for (const GivenValue& value : sets->second) {
      MUSTER_TRY_ASSIGN(Override made, config::parse_set(value.text, value.by));
      line.overrides.push_back(std::move(made));
    }
  }
  if (const auto variables = given.find("env"); variables != given.end()) {
    for (const GivenValue& value : variables->second) add_variable(value, environment, line);
  }
  for (const OptionRow* option : options_of(line.command)) {
    const auto found = given.find(option->name);
    if (option->key.empty() || found == given.end() || found->second.empty()) continue;
    add_override(*option, found->second.back(), line);
  }
  return {};
}

Result<> check_run_id(const GivenValue& run_id) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  const std::string& text = run_id.text;
  if (text == "latest") {
    return fail(ErrorCode::kUsage, as_given(run_id) + ": the word stands for the newest run",
                "choose another name");
  }
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
                 {{"text", Format::kText},
                  {"json", Format::kJson},
                  {"argv", Format::kArgv},
                  {"svg", Format::kSvg}},
                 line.format);
  line.detach = line.has("detach");
  if (line.has("json")) line.format = Format::kJson;
  line.topology_file = line.text("topology").value_or("");
  line.runs_dir = line.text("runs-dir").value_or(line.runs_dir);
  line.run_id = line.text("run-id");
  if (line.has("oversubscribe")) {
    line.echoes.push_back({"--oversubscribe", "resources.oversubscribe=allow, the default"});
  }
  if (line.has("node-rank") && parse_integer(*line.text("node-rank")).value_or(-1) < 0) {
    return fail(ErrorCode::kUsage, line.as_given("node-rank") + ": no node rank",
                "write a whole number from 0 on: the first node, the head, is number 0");
  }
  if (line.run_id) MUSTER_TRY(check_run_id(line.given.find("run-id")->second.back()));
  if (line.has("process-count-per-node")) {
    MUSTER_TRY(check_count(line.given.find("process-count-per-node")->second.back()));
  }
  if (line.has("master-addr")) {
    MUSTER_TRY(check_address(line.given.find("master-addr")->second.back()));
  }
  if (line.has("master-port")) {
    const GivenValue& port = line.given.find("master-port")->second.back();
    MUSTER_TRY(check_port(port));
    if (parse_integer(port.text) == 0) {
      line.echoes.push_back({as_given(port), "a free port, as without it"});
    }
  }
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

std::string CommandLine::as_given(std::string_view option) const {
  const auto found = given.find(option);
  return found == given.end() ? "" : cli::as_given(found->second.back());
}

std::string CommandLine::name_as_given(std::string_view option) const {
  const auto found = given.find(option);
  const bool variable = found != given.end() && !found->second.back().by.starts_with('-');
  return variable ? found->second.back().by : "--" + std::string(option);
}

Result<CommandLine> parse_command_line(const std::string& command,
                                       std::span<const std::string> words,
                                       const CallerEnvironment& environment,
                                       const IsProgram& is_program) {
  CommandLine line;
  line.command = command;
  const CommandRow* row = find_command(command);
  const bool takes_program = row != nullptr && row->words == CommandRow::Words::kConfig;
  MUSTER_TRY_ASSIGN(OwnWords own, in_own_words(command, words, takes_program, is_program));
  line.after_dashes = std::move(own.program);
  line.program_kind = own.kind;
  MUSTER_TRY_ASSIGN(Given flags, given_by_words(command, own.words, line));
  if (line.help) return line;
  line.echoes.insert(line.echoes.end(), own.echoes.begin(), own.echoes.end());
  MUSTER_TRY_ASSIGN(Given variables, given_by_variables(command, environment, flags));
  line.warnings = warnings_of_variables(environment);

  // The later counts.
  MUSTER_TRY(add_overrides(variables, environment, line));
  MUSTER_TRY(add_overrides(flags, environment, line));
  line.given = std::move(flags);
  line.given.merge(variables);
  std::erase_if(line.given, [](const auto& option) { return option.second.empty(); });
  MUSTER_TRY(fill_in(line));
  return line;
}

}  // namespace muster::cli
