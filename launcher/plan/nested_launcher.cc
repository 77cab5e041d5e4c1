#include "launcher/plan/nested_launcher.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "launcher/plan/command_prefix.h"
#include "launcher/plan/shell_commands.h"

namespace muster::plan {
namespace {

using Words = std::vector<std::string>;

constexpr int kMostShells = 4;  // sh -c "bash -c '…'"

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1: the whole path
}

Words from(const Words& words, std::size_t first) {
  return {words.begin() + static_cast<std::ptrdiff_t>(std::min(first, words.size())), words.end()};
}

bool is_shell(const std::string& program) {
  constexpr std::string_view kShells[] = {"sh", "bash", "dash", "zsh", "ksh"};
  return std::find(std::begin(kShells), std::end(kShells), base_name(program)) != std::end(kShells);
}

// Where the text stands in "bash -eo pipefail -c text name arguments…".
std::optional<std::size_t> text_of_shell(const Words& words) {
  if (words.empty() || !is_shell(words[0])) return std::nullopt;
  bool is_text = false;
  std::size_t at = 1;
  for (; at < words.size() && words[at].size() > 1 && words[at].front() == '-'; ++at) {
    if (words[at].starts_with("--")) continue;
    is_text = is_text || words[at].find('c') != std::string::npos;
    if (words[at].find('o') != std::string::npos) ++at;  // -o pipefail
  }
  if (!is_text || at >= words.size()) return std::nullopt;
  return at;
}

// What runs in the end, one list of words for each program.
void add_commands(const Words& argv, int shells, std::vector<Words>& commands) {
  const Words words = without_prefixes(argv);
  const auto text = text_of_shell(words);
  if (!text || shells == kMostShells) {
    if (!words.empty()) commands.push_back(words);
    return;
  }
  const Words arguments = from(words, *text + 2);
  for (Words command : simple_commands(words[*text])) {
    const auto all = std::find(command.begin(), command.end(), "$@");
    if (all != command.end()) {
      const auto at = command.erase(all);
      command.insert(at, arguments.begin(), arguments.end());
    }
    add_commands(command, shells + 1, commands);
  }
}

// The option's value in "--name value" and "--name=value"; torchrun takes "--rdzv-id" for
// "--rdzv_id".  Words after the script are the script's, but no script has these names by chance.
std::string option(const Words& words, std::string_view name) {
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string word = words[i];
    const auto equals = word.find('=');
    std::string key = word.substr(0, equals);
    std::replace(key.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(2, key.size())),
                 key.end(), '-', '_');
    if (key != name) continue;
    if (equals != std::string::npos) return word.substr(equals + 1);
    return i + 1 < words.size() ? words[i + 1] : "";
  }
  return "";
}

bool has_flag(const Words& words, std::string_view name) {
  return std::find(words.begin(), words.end(), name) != words.end();
}

// "python -um name", "python -W ignore -mname", "python /usr/bin/name" run `what`, and the rest are
// its arguments.
struct PythonRuns {
  std::string what;
  bool is_module = false;
  std::size_t next = 0;  // of the words, behind it
};

PythonRuns python_runs(const Words& words) {
  for (std::size_t at = 1; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word.size() < 2 || word.front() != '-') return {word, false, at + 1};
    const auto letter = word.starts_with("--") ? std::string::npos : word.find_first_of("mcWX");
    if (word == "--check-hash-based-pycs") ++at;
    if (letter == std::string::npos) continue;
    const std::string value = word.substr(letter + 1);
    if (word[letter] == 'c') return {};
    if (word[letter] == 'm' && !value.empty()) return {value, true, at + 1};
    if (value.empty()) ++at;
    if (word[letter] == 'm' && at < words.size()) return {words[at], true, at + 1};
  }
  return {};
}

NestedLaunch recognized(const Words& words) {
  if (words.empty()) return {};
  const std::string program = base_name(words[0]);
  // They say something and end.
  for (const char* flag : {"--version", "--help", "-h"}) {
    if (words.size() > 1 && words[1] == flag) return {};
  }
  if (program == "torchrun") return {NestedLauncher::kTorchrun, "torchrun"};
  if (program == "deepspeed") return {NestedLauncher::kDeepspeed, "deepspeed"};
  if (program == "accelerate" && words.size() > 1 && words[1] == "launch") {
    return {NestedLauncher::kAccelerate, "accelerate launch"};
  }
  if (!program.starts_with("python")) return {};
  const PythonRuns python = python_runs(words);
  for (const char* name : {"torch.distributed.run", "torch.distributed.launch"}) {
    if (python.is_module && python.what == name) return {NestedLauncher::kTorchrun, name};
  }
  if (python.is_module && python.what == "accelerate.commands.launch") {
    return {NestedLauncher::kAccelerate, "accelerate launch"};
  }
  if (python.is_module || base_name(python.what).starts_with("python")) return {};
  Words script{python.what};  // python3 /usr/bin/torchrun
  const Words arguments = from(words, python.next);
  script.insert(script.end(), arguments.begin(), arguments.end());
  return recognized(script);
}

NestedLaunch launch_of(const Words& words) {
  NestedLaunch found = recognized(words);
  const std::string nodes = option(words, "--nnodes");
  const std::string endpoint = option(words, "--rdzv_endpoint");
  found.names_endpoint = !endpoint.empty() || !option(words, "--master_port").empty();
  // Nobody else can find a port that the kernel chooses.
  found.joins_others = !has_flag(words, "--standalone") && nodes != "1" && nodes != "1:1" &&
                       !endpoint.ends_with(":0");
  // Its own words for the same: a line of a host file for each rank, and no ssh to them.
  if (found.launcher == NestedLauncher::kDeepspeed)
    found.joins_others = has_flag(words, "--no_ssh");
  return found;
}

}  // namespace

NestedLaunch find_nested_launch(const Words& argv) {
  std::vector<Words> commands;
  add_commands(argv, 0, commands);
  NestedLaunch first;
  for (const Words& command : commands) {
    NestedLaunch found = launch_of(command);
    if (found.launcher == NestedLauncher::kNone) continue;
    if (found.joins_others) return found;
    if (first.launcher == NestedLauncher::kNone) first = std::move(found);
  }
  return first;
}

bool joins_by_variables(const NestedLaunch& nested) {
  const bool takes_variables = nested.launcher == NestedLauncher::kTorchrun ||
                               nested.launcher == NestedLauncher::kAccelerate;
  return takes_variables && nested.joins_others;
}

}  // namespace muster::plan
