// `muster run`: config → discovery → plan → execution → report → exit code.

#include <csignal>
#include <unistd.h>

#include "launcher/cli/commands.h"
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

}  // namespace

CommandResult run_command(const CommandLine& line) {
  keep_signals_as_pid_1();
  auto loaded = load_run(line);
  if (!loaded) return tl::unexpected<Problems>(std::move(loaded).error());
  auto code = RunSession(line, std::move(*loaded)).run();
  if (!code) return tl::unexpected<Problems>(Problems{std::move(code).error()});
  return *code;
}

}  // namespace muster::cli
