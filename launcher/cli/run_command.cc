// `muster run`: config → discovery → plan → execution → report → exit code.

#include <csignal>
#include <unistd.h>

#include "launcher/cli/commands.h"
#include "launcher/cli/detach.h"
#include "launcher/cli/run_session.h"
#include "launcher/exec/execution.h"

namespace muster::cli {
namespace {

// For a container's first process a signal that it does not handle is lost, where it would end any
// other.  So it is kept from the first moment on, and read when the run begins.
void keep_signals_as_pid_1() {
  if (::getpid() != 1) return;
  const sigset_t signals = exec::signals_of_execution();
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
}

Result<Detached> detach(const CommandLine& line) {
  if (::getpid() == 1) {
    return fail(ErrorCode::kUsage,
                "--detach makes no sense as process 1: a container ends with its first process",
                "leave it out here, and detach the container: podman run --detach …");
  }
  if (line.stdin_to_rank0) {
    return fail(ErrorCode::kUsage,
                line.name_as_given("detach") + " and " + line.as_given("stdin") +
                    " contradict each other: in the background there is no standard input",
                "leave one of them out");
  }
  return Detached::fork(line.has("runs-dir"));
}

}  // namespace

CommandResult run_command(const CommandLine& line) {
  keep_signals_as_pid_1();
  std::optional<Detachment> detachment;
  if (line.detach) {
    auto detached = detach(line);
    if (!detached) return tl::unexpected<Problems>(Problems{std::move(detached).error()});
    if (!detached->background) return detached->exit_code;
    detachment = std::move(detached->background);
  }
  auto loaded = load_run(line);
  if (!loaded) return tl::unexpected<Problems>(std::move(loaded).error());
  auto code = RunSession(line, std::move(*loaded), std::move(detachment)).run();
  if (!code) return tl::unexpected<Problems>(Problems{std::move(code).error()});
  return *code;
}

}  // namespace muster::cli
