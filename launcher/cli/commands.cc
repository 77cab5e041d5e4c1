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
              "[options] -- PROGRAM [arguments]\n"
              "[options] SCRIPT.py [arguments]\n"
              "[options] -m MODULE [arguments]",
     .details = "The exit code is the one of the first rank that failed, or one of Muster's own "
                "(README, \"Exit codes\"). Ctrl-C or SIGTERM ends all ranks orderly "
                "(--stop-grace-period); a second one at once.\n"
                "Sockets lie in MUSTER_RUNTIME_DIR, else XDG_RUNTIME_DIR, TMPDIR, /tmp, /dev/shm; "
                "Open MPI's session and memory in /dev/shm where it has room. NO_COLOR is "
                "honoured.",
     .examples = "muster run -n 4 -- python3 train.py --epochs 3\n"
                 "muster run run.yaml --set process_count_per_node=2 -- --epochs 3\n"
                 "muster run --nproc-per-node 4 train.py --epochs 3"},
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
     .usage = "[options] CONFIG|DIRECTORY",
     .details = "Prints every setting with its value and where it came from, what a config of "
                "Azure ML or Batch AI asks for and Muster does not do, or every error with its "
                "place. Of a directory: one line for each run config below it (.runconfig, and "
                "each .yml, .yaml and .json that is one), and a table; 65 when one is refused.",
     .examples = "muster validate .azureml/train.runconfig\n"
                 "muster validate ~/jobs --json | jq '.files[] | select(.resolved | not)'"},
    {.name = "convert",
     .summary = "write a config of Azure ML or Batch AI in Muster's own form",
     .function = convert_command,
     .words = Words::kConfig,
     .usage = "[options] CONFIG",
     .details = "What it writes reads back to the same settings. How a number came about, and what "
                "the config asks for and Muster does not do, are comments in it.",
     .examples = "muster convert .azureml/train.runconfig --output run.yaml"},
    {.name = "topo",
     .summary = "show what this node has, as far as this process may use it",
     .function = topo_command,
     .usage = "[options]"},
    {.name = "datastores",
     .summary = "list the datastores that inputs and outputs of a run config can name",
     .function = datastores_command,
     .usage = "[options]",
     .details = "They are in the file of --datastores, else in datastores.yaml here, else in the "
                "user's own; a run looks beside its config in place of here. Credentials are in "
                "files of their own and are not shown."},
    {.name = "runs",
     .summary = "list the runs: what became of each, the newest first",
     .function = runs_command,
     .usage = "[options]",
     .details = "A run whose launcher was killed is `lost`; one whose launcher is on another "
                "machine is `unknown` until it has ended.",
     .examples = "muster runs --status failed\n"
                 "muster runs --json | jq -r '.[].run_id'"},
    {.name = "logs",
     .summary = "print what the ranks of a run wrote, from its files, also while it runs",
     .function = logs_command,
     .words = Words::kRun,
     .usage = "[options] [RUN]",
     .details = "RUN is a run's id, the beginning of one, its directory, or `latest` [latest].\n"
                "Without --merge the streams come one after the other, rank by rank, each whole, "
                "stdout on stdout and stderr on stderr; with --follow each line comes when it is "
                "written. With --merge all come on stdout, each line at the time at which it was "
                "complete. Lines are shown as `muster run` shows them, safe for a terminal; --raw "
                "prints the stored bytes. A time without a zone is local.\n"
                "--follow ends when the run has ended; the exit code is 0, whatever the run's is.",
     .examples = "muster logs --rank 3 --tail 100\n"
                 "muster logs --follow --merge --since 10m 20261123-06\n"
                 "muster logs --rank 0 --stream stdout --raw > rank0.log"},
    {.name = "metrics",
     .summary = "show what a run's ranks measured: losses, accuracies, the nodes' load",
     .function = metrics_command,
     .words = Words::kRun,
     .usage = "[options] [RUN]",
     .details = "RUN is a run's id, the beginning of one, its directory, or latest, which holds "
                "when there is none. Metrics are what ranks write to the FIFO in MUSTER_METRICS, "
                "event files of TensorBoard below ./logs and ./outputs, what the patterns of the "
                "config find in what ranks print, and the nodes' own. Without options: one line "
                "for each metric, its last value as the mean of its ranks.\n"
                "--export tensorboard writes an event file for each rank below --output, else "
                "below tb in the run directory, and adds to it when it is repeated. --pattern "
                "works on a run that has ended, too.",
     .examples = "muster metrics\n"
                 "muster metrics --name 'train/*' --plot\n"
                 "muster metrics --pattern 'loss=loss: ([0-9.]+)' 20261123-0651\n"
                 "muster metrics --export csv --output metrics.csv"},
    {.name = "status",
     .summary = "show how a run fares: its state, and what each rank does",
     .function = status_command,
     .words = Words::kRun,
     .usage = "[options] [RUN]",
     .details = "RUN is a run's id, the beginning of one, its directory, or latest, which holds "
                "when there is none. CPU and memory are those of a rank's training process with "
                "all that it started; the threads are its own. A rank is marked with ! that is "
                "stopped (T), stuck in the kernel (D), or has written nothing for 5 minutes while "
                "most others have. Of more than 32 ranks the remarkable ones are shown; --json "
                "shows all. The exit code is 0 whenever the state could be told.",
     .examples = "muster status\n"
                 "muster status --watch 20261123-0651"},
    {.name = "verify",
     .summary = "check that everything a run wrote is stored, and as it was written",
     .function = verify_command,
     .words = Words::kRun,
     .usage = "[options] [RUN]",
     .details = "RUN is a run's id, the beginning of one, its directory, or latest, which holds "
                "when there is none. Of every stream, stored and missing bytes make up its length "
                "and its checksum fits; of every file of the output folders the record fits. "
                "While the run goes on, what grows has no end to compare with; of a run whose "
                "launcher was killed nobody knows the ends. The exit code is 0 when all holds, "
                "missing bytes that are recorded included, and 70 when something does not.",
     .examples = "muster verify\n"
                 "muster verify --json 20261123-06 | jq -r '.problems[]'"},
    {.name = "cancel",
     .summary = "end a run orderly, as SIGTERM to its launcher does",
     .function = cancel_command,
     .words = Words::kRun,
     .usage = "[options] RUN",
     .details = "The run's own exit code is then 143. A second cancel, or --now, skips the grace. "
                "Waits until the run has ended, its outputs stored; the exit code is 0 when it was "
                "cancelled, 64 when it had ended before, 70 when its launcher is gone, 77 when it "
                "is another user's."},
    {.name = "attach",
     .summary = "show a run's output from now on, until it ends",
     .function = attach_command,
     .words = Words::kRun,
     .usage = "[options] [RUN]",
     .details = "Shows what muster run would, ends with the run's report, and with its exit code. "
                "Ctrl-C detaches: the run goes on, and the exit code is 130. Of a run that has "
                "ended, the report is shown. 70 when the launcher is gone.",
     .examples = "muster attach latest --console all"},
    {.name = "sync",
     .summary = "deliver to a collector what runs that have ended did not",
     .function = sync_command,
     .words = Words::kOwn,
     .usage = "[options] [RUN|DIR …]",
     .details =
         "RUN is a run's id, the beginning of one, its directory, or latest; DIR a directory "
         "of runs, of which those are delivered that are not at their collector in "
         "full, with --collector also those that never had one. Without any it is --runs-dir. A "
         "run whose launcher lives is left to it; of "
         "one that was killed, the streams end where they are, and say so. The exit code is "
         "76 when not everything was delivered.",
     .examples = "muster sync runs/20261123-065122-c028\n"
                 "muster sync runs --collector tls:head:7000 --token-file ~/.muster-token"},
    {.name = "files",
     .summary = "list the files of a run's output folders, and what became of each",
     .function = files_command,
     .words = Words::kOwn,
     .usage = "[options] [RUN [PATTERN...]]",
     .details = "RUN is a run's id, the beginning of one, its directory, or `latest` [latest]; it "
                "may be running. A PATTERN is one of .gitignore: *.pt, outputs/ckpt-*/. What is "
                "not stored says why.",
     .examples = "muster files latest '*.pt'\n"
                 "muster files --json | jq '.files[] | select(.state != \"stored\")'"},
    {.name = "download",
     .summary = "copy files of a run to another place, checked",
     .function = download_command,
     .words = Words::kOwn,
     .usage = "[options] [RUN] PATH\n"
              "[options] [RUN] PATH... DEST",
     .details = "PATH is a file or folder of the run directory, as muster files shows it (outputs/ "
                "may be left out), or a pattern such as '*.pt'. DEST is a folder, or the new name "
                "of one file, or - for stdout; the current folder without one. What is there is "
                "not replaced without --force; a copy that was cut goes on where it was. The run "
                "may be running: a file comes as it was stored last.",
     .examples = "muster download latest outputs/model.pt\n"
                 "muster download latest '*.ckpt' checkpoints/\n"
                 "muster download latest outputs/metrics.csv - | head"},
    {.name = "cache",
     .summary = "show the downloaded inputs that are kept, and make room",
     .function = cache_command,
     .words = Words::kOwn,
     .usage = "[list] [--json]\n"
              "prune --max-size SIZE",
     .details = "prune removes half-made downloads, and then those not used for longest, until no "
                "more than SIZE is left. What a run uses stays. Nothing is ever removed without "
                "this command.",
     .examples = "muster cache\n"
                 "muster cache prune --max-size 50g"},
    {.name = "token",
     .summary = "make a run token: the secret that a run and its collector share",
     .function = token_command,
     .usage = "[--output FILE]",
     .details = "64 hex digits of 32 random bytes. --token-file takes the file on both sides, or "
                "fd:N for a descriptor; it is refused when others may read it. The token itself is "
                "never in an argument, a variable, a log or the run directory.",
     .examples = "muster token --output ~/.muster-token\n"
                 "muster token | ssh head 'umask 077; cat > .muster-token'"},
    {.name = "completion",
     .summary = "print the script that completes muster's words in a shell",
     .function = completion_command,
     .words = Words::kOwn,
     .usage = "bash|zsh|fish",
     .details = "cmake --install and the Debian package put it where the shell looks for it. zsh "
                "looks below a prefix of your own when .zshrc says so, before compinit:\n"
                "fpath=(PREFIX/share/zsh/site-functions $fpath)",
     .examples = "source <(muster completion bash)\n"
                 "source <(muster completion zsh)\n"
                 "muster completion fish | source"},
    {.name = "complete",
     .summary = "print what may come next, for the scripts of muster completion",
     .function = complete_command,
     .words = Words::kOwn,
     .usage = "-- WORDS",
     .hidden = true},
    {.name = "transfer",
     .summary = "one download or upload of a run: for muster run",
     .function = transfer_command,
     .usage = "--spec FILE",
     .hidden = true},
    {.name = "relay",
     .summary = "a collector alone: store what runs send, until SIGTERM",
     .function = relay_command,
     .usage = "--listen ADDR --store DIR [--upstream ADDR] [options]",
     .details =
         "ADDR is unix:PATH, tcp:HOST:PORT or tls:HOST:PORT; port 0 is a free one. Runs are "
         "stored as DIR/RUN_ID/, and go on to --upstream, with the same token. Says where it "
         "listens when it does.",
     .hidden = true},
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
