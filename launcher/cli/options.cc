#include "launcher/cli/options.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace muster::cli {
namespace {

constexpr OptionRow kOptions[] = {
    // What to run, and how.
    {.name = "process-count-per-node",
     .short_name = 'n',
     .argument = "N|auto",
     .commands = "run plan validate",
     .heading = "run",
     .help = "ranks on each node: a number, or auto",
     .default_text = "1",
     .key = "process_count_per_node"},
    {.name = "backend",
     .argument = "mpi|direct|none",
     .choices = "mpi|direct|none",
     .commands = "run plan validate",
     .heading = "run",
     .help = "who starts the ranks; with -n above 1 and no config: mpi if an Open MPI is on PATH, "
             "else direct",
     .key = "distributed_backend"},
    {.name = "set",
     .argument = "KEY.PATH=VALUE",
     .commands = "run plan validate",
     .heading = "run",
     .help = "replace one setting of the config; may be repeated",
     .repeats = true},
    {.name = "run-id",
     .argument = "ID",
     .commands = "run",
     .heading = "run",
     .help = "name of the run",
     .default_text = "date, time and four hex digits"},
    {.name = "stdin",
     .argument = "none|rank0",
     .choices = "none|rank0",
     .commands = "run",
     .heading = "run",
     .help = "who reads this command's standard input",
     .default_text = "none"},

    // Where runs lie: also for the commands that look at them.
    {.name = "runs-dir",
     .argument = "DIR",
     .commands = "run",
     .heading = "run",
     .help = "where run directories are",
     .default_text = "./runs",
     .reaches_ranks = true},

    // What is shown.
    {.name = "console",
     .argument = "rank0|all|none|errors",
     .choices = "rank0|all|none|errors",
     .commands = "run",
     .heading = "output",
     .help = "which ranks' output is shown; all of it is stored anyway",
     .default_text = "rank0"},
    {.name = "topology",
     .argument = "FILE",
     .commands = "plan topo",
     .heading = "node",
     .help = "another node: an hwloc XML file (lstopo FILE.xml)"},
    {.name = "format",
     .argument = "text|json|argv",
     .choices = "text|json|argv",
     .commands = "plan",
     .heading = "output",
     .help = "text: for people, with every number's origin; json: for programs; argv: the line "
             "that starts the ranks, quoted for a shell",
     .default_text = "text"},
    {.name = "format",
     .argument = "text|json",
     .choices = "text|json",
     .commands = "topo",
     .heading = "output",
     .help = "text: for people; json: for programs",
     .default_text = "text"},
    {.name = "json", .commands = "plan validate topo", .heading = "output", .help = "print JSON"},

    {.name = "help",
     .short_name = 'h',
     .commands = "*",
     .heading = "output",
     .help = "print this",
     .has_variable = false},
};

}  // namespace

bool OptionRow::belongs_to(std::string_view command) const {
  if (commands == "*") return true;
  const auto words = split(commands, ' ');
  return std::find(words.begin(), words.end(), command) != words.end();
}

std::span<const OptionRow> options() {
  return kOptions;
}

std::vector<const OptionRow*> options_of(std::string_view command) {
  std::vector<const OptionRow*> found;
  for (const OptionRow& option : kOptions) {
    if (option.belongs_to(command)) found.push_back(&option);
  }
  return found;
}

const OptionRow* find_option(std::string_view command, std::string_view long_name) {
  for (const OptionRow* option : options_of(command)) {
    const auto names = long_names(*option);
    if (std::find(names.begin(), names.end(), long_name) != names.end()) return option;
  }
  return nullptr;
}

std::string variable_of(const OptionRow& option) {
  if (!option.has_variable) return "";
  std::string name = "MUSTER_";
  for (const char c : option.name) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

std::string shown_name(const OptionRow& option) {
  if (option.short_name != '\0') return std::string("-") + option.short_name;
  return "--" + std::string(option.name);
}

std::vector<std::string> long_names(const OptionRow& option) {
  std::vector<std::string> names{std::string(option.name)};
  if (option.other_names.empty()) return names;
  for (std::string& name : split(option.other_names, ' ')) names.push_back(std::move(name));
  return names;
}

std::vector<std::string> choices_of(const OptionRow& option) {
  if (option.choices.empty()) return {};
  return split(option.choices, '|');
}

}  // namespace muster::cli
