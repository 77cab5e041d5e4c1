// docs/environment.md: `muster help --markdown environment` prints it.

#include <algorithm>

#include "base/text.h"
#include "launcher/cli/given_values.h"
#include "launcher/cli/options.h"
#include "launcher/cli/reference_pages.h"

namespace muster::cli {
namespace {

constexpr const char* kBeginning =
    R"(# Environment variables

<!-- Written by `muster help --markdown environment`; MUSTER_UPDATE_DOCS=1 with the unit tests rewrites it. -->

Every option of `muster` has a variable: `MUSTER_` and its long name in capitals, `--runs-dir` is
`MUSTER_RUNS_DIR`. A variable counts for every command that knows the option. Without one are `--module` and
`--no-python`, which say what the words of this one line are, `convert --output`, `token --output`, `token --print`,
`metrics --export` (with `--output`) and `topo --export` (with `--anonymous`), which are about the file of one
time, `cancel --now`, `cache --max-size` and `download --force`, which left behind in a shell would take their grace
from all runs, their downloads from all caches and people's files from all folders, `--insecure`, which would take
the token from all connections, and `--help`.

A flag wins over a variable, a variable over the run config, the config over the default. A flag also wins over
a variable that it excludes: `MUSTER_JSON=1 muster plan --format argv` prints the argv. `muster validate` shows
which value won, where it came from, and what it hides, for all settings of a run config; `--console`,
`--runs-dir` and other options of the command itself are none, and are not in it:

```
$ MUSTER_BACKEND=mpi muster validate run.yaml -n 4
key                      value  origin
process_count_per_node   4      -n  (run.yaml:7:25 says 2)
distributed_backend      mpi    MUSTER_BACKEND  (run.yaml:8:22 says direct)
```

A variable without a value is as if it were not there. A switch is on with `1`, `true`, `yes` or `on`, and
off with `0`, `false`, `no` or `off`. An option that may be repeated takes one value a line. A wrong value is
told with the variable's name, and a name that looks like a misspelt one of these, or that is made of another
launcher's option (`MUSTER_NPROC_PER_NODE`), gets a warning with the right one.

## Options

| variable | option | values | default | commands |
|---|---|---|---|---|
)";

constexpr const char* kRanks = R"(
Of these, ranks inherit those only that are marked with a star: what one run is told is no business of a run
that one of its ranks starts. Inside a rank `MUSTER_RUN_ID` names the run around it, and is not taken for
`--run-id`.

## Other variables

| variable | meaning |
|---|---|
)";

constexpr const char* kEnd = R"(
What ranks find in their environment is in [rank-environment.md](rank-environment.md).
)";

std::string code(std::string_view text) {
  std::string quoted = "`" + std::string(text) + "`";
  // A bar would end the cell.
  for (std::size_t at = 0; (at = quoted.find('|', at)) != std::string::npos; at += 2) {
    quoted.replace(at, 1, "\\|");
  }
  return quoted;
}

void add_new(std::vector<std::string>& texts, std::string text) {
  if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(std::move(text));
}

// Rows of one name are one option whose values differ between commands.
std::string option_row(std::string_view name) {
  std::vector<std::string> values;
  std::vector<std::string> commands;
  const OptionRow* first = nullptr;
  for (const OptionRow& option : options()) {
    if (option.name != name) continue;
    if (first == nullptr) first = &option;
    add_new(values, option.takes_value() ? code(option.argument) : "`0`, `1`");
    for (std::string& command : split(option.commands, ' ')) add_new(commands, std::move(command));
  }
  const std::string star = first->reaches_ranks ? " \\*" : "";
  const std::string many = first->repeats ? ", one a line" : "";
  return "| " + code(variable_of(*first)) + star + " | " + code("--" + std::string(name)) + " | " +
         join(values, "; ") + many + " | " + std::string(first->default_text) + " | " +
         join(commands, ", ") + " |\n";
}

}  // namespace

std::string environment_page() {
  std::string page = kBeginning;
  std::vector<std::string> names;
  for (const OptionRow& option : options()) {
    if (option.has_variable) add_new(names, std::string(option.name));
  }
  for (const std::string& name : names) page += option_row(name);
  page += kRanks;
  for (const OtherVariable& variable : other_variables()) {
    page += "| " + code(variable.name) + " | " + std::string(variable.meaning) + " |\n";
  }
  return page + kEnd;
}

}  // namespace muster::cli
