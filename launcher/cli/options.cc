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
     .other_names = "nproc-per-node np npernode ppn",
     .argument = "N|auto|cpu|gpu",
     .commands = "run plan validate",
     .heading = "run",
     .help = "ranks on each node: a number, auto, or as many as CPUs or GPUs may be used here",
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
     .commands = "run plan validate convert",
     .heading = "run",
     .help = "replace one setting of the config; may be repeated",
     .repeats = true},
    {.name = "dialect",
     .argument = "native|v1|workbench|v2|batchai",
     .choices = "native|v1|workbench|v2|batchai",
     .commands = "run plan validate convert",
     .heading = "run",
     .help = "the format of the config: Muster's own, Azure ML v1 or its Workbench ancestor, v2 "
             "command job, Batch AI job",
     .default_text = "told from its content"},
    {.name = "output",
     .argument = "FILE",
     .commands = "convert",
     .heading = "output",
     .help = "write it there, with relative paths that lead to the same places; a file that exists "
             "is not replaced",
     .default_text = "stdout",
     .has_variable = false},
    {.name = "output",
     .argument = "FILE",
     .commands = "token",
     .heading = "output",
     .help = "write it to that new file, which only you can read",
     .default_text = "stdout, when that is no terminal",
     .has_variable = false},
    {.name = "print",
     .commands = "token",
     .heading = "output",
     .help = "show it on a terminal, too",
     .has_variable = false},
    {.name = "datastores",
     .argument = "FILE",
     .commands = "run plan datastores",
     .heading = "run",
     .help = "where the data is that inputs and outputs name",
     .default_text = "datastores.yaml beside the config, else ~/.config/muster/datastores.yaml"},
    {.name = "env",
     .short_name = 'x',
     .argument = "NAME[=VALUE]",
     .commands = "run plan validate",
     .heading = "run",
     .help = "set a variable of the ranks; they inherit yours anyway; may be repeated",
     .repeats = true},
    {.name = "module",
     .short_name = 'm',
     .commands = "run plan validate",
     .heading = "run",
     .help = "the first word is a Python module, as after python3 -m",
     .has_variable = false},
    {.name = "no-python",
     .commands = "run plan validate",
     .heading = "run",
     .help = "the first word is a program, also when it ends in .py",
     .has_variable = false},
    {.name = "nodes",
     .other_names = "nnodes",
     .argument = "N",
     .commands = "run plan validate",
     .heading = "run",
     .help = "nodes of the run; this version runs on one",
     .default_text = "1",
     .key = "node_count"},
    {.name = "one-node",
     .commands = "run plan",
     .heading = "run",
     .help = "a run of several nodes: all of its ranks on this one"},
    {.name = "node-rank",
     .argument = "K",
     .commands = "run plan validate",
     .heading = "run",
     .help = "which node this is; with one it is 0",
     .default_text = "0"},
    {.name = "master-addr",
     .argument = "HOST",
     .commands = "run plan validate",
     .heading = "run",
     .help = "MASTER_ADDR of the ranks",
     .default_text = "127.0.0.1",
     .key = "environment.variables.MASTER_ADDR"},
    {.name = "master-port",
     .argument = "PORT",
     .commands = "run plan validate",
     .heading = "run",
     .help = "MASTER_PORT of the ranks",
     .default_text = "a free port",
     .key = "environment.variables.MASTER_PORT"},
    {.name = "oversubscribe",
     .commands = "run plan validate",
     .heading = "run",
     .help = "allow more ranks than cores; the default, unless the config says never",
     .key = "resources.oversubscribe",
     .switch_value = "allow"},
    {.name = "max-restarts",
     .argument = "N",
     .commands = "run plan validate",
     .heading = "limits",
     .help = "restarts after a failure; none in this version",
     .default_text = "0",
     .key = "restarts.max_restarts"},
    {.name = "in-place",
     .commands = "run plan validate",
     .heading = "run",
     .help = "run in source_directory itself, not in a copy",
     .key = "in_place",
     .switch_value = "true"},
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
    {.name = "detach",
     .commands = "run",
     .heading = "run",
     .help = "return once all ranks have started, with the run's id on stdout; the run goes on in "
             "the background"},

    // Limits.
    {.name = "max-run-duration-seconds",
     .argument = "SECONDS",
     .commands = "run plan validate",
     .heading = "limits",
     .help = "time after which the run is ended",
     .default_text = "no limit",
     .key = "limits.max_run_duration_seconds"},
    {.name = "join-timeout",
     .argument = "DURATION",
     .commands = "run plan validate",
     .heading = "limits",
     .help = "time in which all ranks must have started",
     .default_text = "600s",
     .key = "limits.join_timeout"},
    {.name = "stop-grace-period",
     .argument = "DURATION",
     .commands = "run plan validate",
     .heading = "limits",
     .help = "time from SIGTERM to SIGKILL when the run is stopped from outside",
     .default_text = "30s",
     .key = "limits.stop_grace_period"},
    {.name = "stop-budget",
     .argument = "DURATION|none",
     .commands = "run plan validate",
     .heading = "limits",
     .help = "time from a stop from outside to the end of muster itself: grace, output and results",
     .default_text = "10s as PID 1, else none",
     .key = "limits.stop_budget"},
    {.name = "failure-grace-period",
     .argument = "DURATION",
     .commands = "run plan validate",
     .heading = "limits",
     .help = "the same for the other ranks when one has failed",
     .default_text = "3s",
     .key = "limits.failure_grace_period"},
    {.name = "drain-timeout",
     .argument = "DURATION",
     .commands = "run plan validate",
     .heading = "limits",
     .help = "time for the output that is left when a rank has ended",
     .default_text = "60s",
     .key = "limits.drain_timeout"},

    // Where runs lie: also for the commands that look at them.
    {.name = "runs-dir",
     .argument = "DIR",
     .commands = "run runs logs status cancel attach",
     .heading = "run",
     .help = "where run directories are",
     .default_text = "./runs",
     .reaches_ranks = true},

    // What is shown.
    {.name = "console",
     .argument = "rank0|all|none|errors",
     .choices = "rank0|all|none|errors",
     .commands = "run attach",
     .heading = "output",
     .help = "which ranks' output is shown; all of it is stored anyway",
     .default_text = "rank0"},
    {.name = "topology",
     .argument = "FILE",
     .commands = "plan",
     .heading = "node",
     .help = "another node: an hwloc XML file (lstopo FILE.xml), or \"synthetic:pack:2 core:8 "
             "pu:2\"; once for all nodes of the run, or once for each",
     .repeats = true},
    {.name = "topology",
     .argument = "FILE",
     .commands = "topo",
     .heading = "node",
     .help =
         "another node: an hwloc XML file (lstopo FILE.xml), or \"synthetic:pack:2 core:8 pu:2\""},
    {.name = "gpus",
     .argument = "FILE",
     .commands = "plan topo",
     .heading = "node",
     .help = "GPUs of a node whose file has none: JSON as topo --format json prints it"},
    {.name = "topology-override",
     .other_names = "override",
     .argument = "FILE",
     .commands = "run plan topo",
     .heading = "node",
     .help = "where GPUs and NICs are, when everybody else has it wrong (docs/topology-files.md)"},
    {.name = "format",
     .argument = "text|json|svg|argv",
     .choices = "text|json|svg|argv",
     .commands = "plan",
     .heading = "output",
     .help = "text: for people, with every number's origin; json: for programs; svg: a picture of "
             "who runs where; argv: the line that starts the ranks, quoted for a shell",
     .default_text = "text"},
    {.name = "format",
     .argument = "text|json|svg",
     .choices = "text|json|svg",
     .commands = "topo",
     .heading = "output",
     .help = "text: for people; json: for programs; svg: a picture",
     .default_text = "text"},
    {.name = "theme",
     .argument = "auto|light|dark",
     .choices = "auto|light|dark",
     .commands = "plan topo",
     .heading = "output",
     .help = "colours of --format svg; auto: as who looks at it has set",
     .default_text = "auto"},
    {.name = "export",
     .argument = "FILE",
     .commands = "topo",
     .heading = "output",
     .help =
         "write what this node has to an hwloc XML file that --topology reads, for a bug report: "
         "without serial numbers, UUIDs, MAC addresses and GUIDs; - is stdout",
     .has_variable = false},
    {.name = "anonymous",
     .commands = "topo",
     .heading = "output",
     .help = "of --export: without the hostname, too",
     .has_variable = false},

    // Of `muster logs`: which lines, and how.
    {.name = "rank",
     .argument = "LIST",
     .commands = "logs",
     .heading = "which lines",
     .help = "ranks: 0,2-3, or all",
     .default_text = "all"},
    {.name = "stream",
     .argument = "LIST",
     .commands = "logs",
     .heading = "which lines",
     .help = "of each rank: stdout, stderr, both, metrics; of the run: mpirun, launcher, events",
     .default_text = "both"},
    {.name = "attempt",
     .argument = "K",
     .commands = "logs",
     .heading = "which lines",
     .help = "which start of the ranks, counted from 0",
     .default_text = "the last one"},
    {.name = "since",
     .argument = "TIME",
     .commands = "logs",
     .heading = "which lines",
     .help = "lines that were complete then or later: 2026-11-23T06:15:00Z, or 10m for ten "
             "minutes ago"},
    {.name = "until",
     .argument = "TIME",
     .commands = "logs",
     .heading = "which lines",
     .help = "lines that were complete then or earlier"},
    {.name = "tail",
     .argument = "N",
     .commands = "logs",
     .heading = "which lines",
     .help = "the last N lines of each stream"},
    {.name = "follow",
     .short_name = 'f',
     .commands = "logs",
     .heading = "output",
     .help = "go on with what is written, until the run has ended"},
    {.name = "merge",
     .commands = "logs",
     .heading = "output",
     .help = "all lines in the order of their times, on stdout"},
    {.name = "timestamps",
     .short_name = 't',
     .commands = "logs",
     .heading = "output",
     .help = "begin each line with its time, in UTC; \"-\" where it is unknown"},
    {.name = "no-prefix",
     .commands = "logs",
     .heading = "output",
     .help = "leave out the \"[3] \" before the lines of several ranks"},
    {.name = "raw", .commands = "logs", .heading = "output", .help = "the stored bytes, exactly"},

    // Of `muster runs`.
    {.name = "status",
     .argument = "running|stopping|succeeded|failed|cancelled|lost|unknown|unreadable",
     .choices = "running|stopping|succeeded|failed|cancelled|lost|unknown|unreadable",
     .commands = "runs",
     .heading = "which runs",
     .help = "only those that are so now"},
    {.name = "limit",
     .argument = "N",
     .commands = "runs",
     .heading = "which runs",
     .help = "the newest N; 0: all",
     .default_text = "20; with --json all"},

    // Of a run that runs.
    {.name = "from-start",
     .commands = "attach",
     .heading = "output",
     .help = "first show what was written before; else only what comes from now on"},
    {.name = "watch",
     .commands = "status",
     .heading = "output",
     .help = "again every second, until the run ends"},
    {.name = "now",
     .commands = "cancel",
     .heading = "run",
     .help = "without limits.stop_grace_period: SIGKILL at once",
     .has_variable = false},
    {.name = "no-wait",
     .commands = "cancel",
     .heading = "run",
     .help = "return when the launcher has been asked"},

    // Of `muster cache` and `muster transfer`.
    {.name = "max-size",
     .argument = "SIZE",
     .commands = "cache",
     .heading = "which downloads",
     .help = "how much may stay: 500m, 50g, 2t",
     .has_variable = false},
    {.name = "spec",
     .argument = "FILE",
     .commands = "transfer",
     .heading = "run",
     .help = "what to do",
     .has_variable = false,
     .hidden = true},

    {.name = "json",
     .commands = "plan validate topo runs status cache datastores",
     .heading = "output",
     .help = "print JSON"},

    // Of `muster help`: for those who write the pages.
    {.name = "markdown",
     .argument = "environment",
     .choices = "environment",
     .commands = "help",
     .heading = "output",
     .help = "print docs/environment.md",
     .has_variable = false,
     .hidden = true},
    {.name = "man",
     .commands = "help",
     .heading = "output",
     .help = "print muster(1)",
     .has_variable = false,
     .hidden = true},
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

std::string capitals(std::string_view name) {
  std::string text;
  for (const char c : name) {
    text += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return text;
}

std::string variable_of(const OptionRow& option) {
  return option.has_variable ? "MUSTER_" + capitals(option.name) : "";
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
