#include "launcher/cli/commands.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "base/fd.h"

namespace muster::cli {
namespace {

using Words = CommandRow::Words;

constexpr CommandRow kCommands[] = {
    {.name = "run",
     .summary = "start a run and wait for its end",
     .function = run_command,
     .words = Words::kConfig,
     .usage = "[options] CONFIG [-- extra script arguments]\n"
              "[options] -- PROGRAM [arguments]",
     .details = "The exit code is the one of the first rank that failed, or one of Muster's own "
                "(README, \"Exit codes\"). Ctrl-C or SIGTERM ends all ranks orderly "
                "(limits.stop_grace_period); a second one at once.\n"
                "Sockets and Open MPI's session lie in MUSTER_RUNTIME_DIR, else XDG_RUNTIME_DIR, "
                "TMPDIR, /tmp, /dev/shm. NO_COLOR is honoured.",
     .examples = "muster run -n 4 -- python3 train.py --epochs 3\n"
                 "muster run run.yaml --set process_count_per_node=2 -- --epochs 3"},
    {.name = "plan",
     .summary = "show what a run would do: placement, environment, the exact mpirun line",
     .function = plan_command,
     .words = Words::kConfig,
     .usage = "[options] CONFIG [-- extra script arguments]\n"
              "[options] -- PROGRAM [arguments]",
     .examples = "muster plan run.yaml\n"
                 "muster plan -n 8 --topology dgx.xml --format json -- python3 train.py"},
    {.name = "validate",
     .summary = "check a config: every error at once, or the resolved settings",
     .function = validate_command,
     .words = Words::kConfig,
     .usage = "[options] CONFIG",
     .details = "Prints every setting with its value and where it came from, or every error with "
                "its place."},
    {.name = "topo",
     .summary = "show what this node has, as far as this process may use it",
     .function = topo_command,
     .usage = "[options]"},
    {.name = "help",
     .summary = "print the help of a command",
     .function = help_command,
     .words = Words::kOwn,
     .usage = "[COMMAND]",
     .hidden = true},
};

}  // namespace

std::span<const CommandRow> commands() {
  return kCommands;
}

const CommandRow* find_command(std::string_view name) {
  const auto* found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                   [&](const CommandRow& row) { return row.name == name; });
  return found == std::end(kCommands) ? nullptr : found;
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const CommandRow& row : kCommands) {
    if (!row.hidden) names.emplace_back(row.name);
  }
  return names;
}

CommandResult print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return 0;
  }
  // The reader has seen enough (`muster plan … | head`); a shell expects this code.
  if (errno == EPIPE) return 128 + SIGPIPE;
  return tl::unexpected<Problems>(
      Problems{system_error(ErrorCode::kInternal, "writing to stdout")});
}

}  // namespace muster::cli
