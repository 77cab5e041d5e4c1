// cxxopts splits the words; the table below says which command takes which option, so that a wrong
// one is told with the nearest right one.

#include "launcher/cli/command_line.h"

#define CXXOPTS_VECTOR_DELIMITER '\0'  // a --set value may hold commas
#include <cxxopts.hpp>

#include <algorithm>
#include <map>

#include "base/text.h"

namespace muster::cli {
namespace {

struct OptionRow {
  const char* spec;  // as cxxopts wants it
  const char* name;  // long name
  bool takes_value;
  const char* commands;  // blank-separated
};

constexpr OptionRow kOptions[] = {
    {"h,help", "help", false, "run plan validate topo"},
    {"n,process-count-per-node", "process-count-per-node", true, "run plan validate"},
    {"backend", "backend", true, "run plan validate"},
    {"set", "set", true, "run plan validate"},
    {"console", "console", true, "run"},
    {"stdin", "stdin", true, "run"},
    {"runs-dir", "runs-dir", true, "run"},
    {"run-id", "run-id", true, "run"},
    {"topology", "topology", true, "plan topo"},
    {"format", "format", true, "plan topo"},
    {"json", "json", false, "plan topo validate"},
};

bool belongs_to(const OptionRow& option, const std::string& command) {
  const auto commands = split(option.commands, ' ');
  return std::find(commands.begin(), commands.end(), command) != commands.end();
}

std::string try_help(const std::string& command) {
  return "`muster " + command + " --help` lists the options";
}

template <typename T>
Result<T> choose(const std::string& option, const std::string& text,
                 const std::map<std::string, T>& choices) {
  const auto found = choices.find(text);
  if (found != choices.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, value] : choices) names.push_back(name);
  const std::string near = did_you_mean_hint(text, names);
  return fail(ErrorCode::kUsage, "--" + option + " " + text + " is not a choice",
              near.empty() ? "write one of " + join(names, ", ") : near);
}

Result<> check_run_id(const std::string& run_id) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (!run_id.empty() && run_id.size() <= 100 && run_id.front() != '.' && run_id.front() != '-' &&
      run_id.find_first_not_of(kAllowed) == std::string::npos) {
    return {};
  }
  return fail(ErrorCode::kUsage, "--run-id \"" + run_id + "\" cannot name a directory",
              "use up to 100 letters, digits, dots, dashes and underscores");
}

Failure unknown_option(const std::string& command, const std::string& word) {
  std::vector<std::string> known;
  for (const OptionRow& option : kOptions) {
    if (belongs_to(option, command)) known.push_back(std::string("--") + option.name);
  }
  const std::string near = did_you_mean_hint(word.substr(0, word.find('=')), known);
  return fail(ErrorCode::kUsage, "unknown option " + word + " for muster " + command,
              near.empty() ? try_help(command) : near + " " + try_help(command));
}

config::Override flag_override(const std::string& key, const std::string& value,
                               const std::string& flag) {
  config::Override made;
  made.key_path = key;
  made.value = value;
  made.origin.kind = config::Origin::Kind::kFlag;
  made.origin.text = flag;
  return made;
}

Result<> read_options(const cxxopts::ParseResult& parsed, CommandLine& line) {
  if (parsed.count("set") > 0) {
    for (const std::string& text : parsed["set"].as<std::vector<std::string>>()) {
      MUSTER_TRY_ASSIGN(config::Override made, config::parse_set(text));
      line.overrides.push_back(std::move(made));
    }
  }
  const auto text_of = [&](const char* name) -> std::optional<std::string> {
    if (parsed.count(name) == 0) return std::nullopt;
    return parsed[name].as<std::vector<std::string>>().back();
  };
  if (const auto text = text_of("process-count-per-node")) {
    line.overrides.push_back(flag_override("process_count_per_node", *text, "-n"));
  }
  if (const auto text = text_of("backend")) {
    line.overrides.push_back(flag_override("distributed_backend", *text, "--backend"));
  }
  if (const auto text = text_of("console")) {
    using report::ConsoleMode;
    MUSTER_TRY_ASSIGN(line.console, choose<ConsoleMode>("console", *text,
                                                        {{"rank0", ConsoleMode::kRank0},
                                                         {"all", ConsoleMode::kAll},
                                                         {"none", ConsoleMode::kNone},
                                                         {"errors", ConsoleMode::kErrors}}));
  }
  if (const auto text = text_of("stdin")) {
    MUSTER_TRY_ASSIGN(line.stdin_to_rank0,
                      choose<bool>("stdin", *text, {{"none", false}, {"rank0", true}}));
  }
  if (const auto text = text_of("format")) {
    MUSTER_TRY_ASSIGN(line.format, choose<Format>("format", *text,
                                                  {{"text", Format::kText},
                                                   {"json", Format::kJson},
                                                   {"argv", Format::kArgv}}));
  }
  if (parsed.count("json") > 0) line.format = Format::kJson;
  if (const auto text = text_of("topology")) line.topology_file = *text;
  line.runs_dir = text_of("runs-dir");
  line.run_id = text_of("run-id");
  if (line.run_id) MUSTER_TRY(check_run_id(*line.run_id));
  return {};
}

}  // namespace

Result<CommandLine> parse_command_line(const std::string& command,
                                       std::span<const std::string> words) {
  CommandLine line;
  const auto dashes = std::find(words.begin(), words.end(), "--");
  if (dashes != words.end()) line.after_dashes.emplace(dashes + 1, words.end());

  cxxopts::Options options("muster " + command);
  options.allow_unrecognised_options();
  for (const OptionRow& option : kOptions) {
    if (!belongs_to(option, command)) continue;
    if (option.takes_value) {
      options.add_options()(option.spec, "", cxxopts::value<std::vector<std::string>>());
    } else {
      options.add_options()(option.spec, "");
    }
  }
  std::vector<const char*> argv{"muster"};
  for (auto word = words.begin(); word != dashes; ++word) argv.push_back(word->c_str());
  try {
    const auto parsed = options.parse(static_cast<int>(argv.size()), argv.data());
    line.help = parsed.count("help") > 0;
    if (line.help) return line;
    for (const std::string& word : parsed.unmatched()) {
      if (word.size() > 1 && word.front() == '-') return unknown_option(command, word);
      line.config_files.push_back(word);
    }
    MUSTER_TRY(read_options(parsed, line));
  } catch (const std::exception& problem) {
    return fail(ErrorCode::kUsage, "muster " + command + ": " + problem.what(), try_help(command));
  }
  return line;
}

}  // namespace muster::cli
