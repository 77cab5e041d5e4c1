// `muster run`: config → discovery → plan → execution → report → exit code.

#include <csignal>
#include <cstdio>
#include <unistd.h>

#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/detach.h"
#include "launcher/cli/member_session.h"
#include "launcher/cli/run_membership.h"
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

// What a run of several nodes cannot do yet, or never.
Result<> unfit_for_nodes(const CommandLine& line, const config::RunConfig& config) {
  if (line.detach) {
    return fail(ErrorCode::kUsage,
                line.name_as_given("detach") + ": a run of several nodes stays in the foreground",
                "whatever starts it on every node waits for it; leave it out");
  }
  if (config.streams.collector.value) {
    return fail(ErrorCode::kUsage,
                "streams.collector with several nodes: this version stores them all at the head",
                "leave it out; `muster sync` delivers the head's run directory afterwards");
  }
  return {};
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

// One of the launchers of a run of several nodes.
CommandResult run_on_nodes(const CommandLine& line, const cluster::Membership& membership,
                           config::RunConfig config, std::string config_text) {
  std::vector<std::string> notes = membership.notes;
  if (membership.time_left) {
    notes.push_back(membership.scheduler + " ends this job in " +
                    format_duration(membership.time_left->value) + " (" +
                    membership.time_left->origin + ")");
  }
  for (const std::string& note : notes) {
    std::fputs(("muster: " + note + "\n").c_str(), stderr);
  }
  const auto unfit = unfit_for_nodes(line, config);
  if (!unfit) return tl::unexpected<Problems>(Problems{unfit.error()});
  auto loaded =
      load_run_of_node(line, std::move(config), std::move(config_text), !membership.is_head());
  if (!loaded) return tl::unexpected<Problems>(std::move(loaded).error());
  Result<int> code = 0;
  if (membership.is_head()) {
    code = RunSession(line, std::move(*loaded), std::nullopt, &membership).run();
  } else {
    code = MemberSession(line, membership, std::move(*loaded)).run();
  }
  if (!code) return tl::unexpected<Problems>(Problems{std::move(code).error()});
  return *code;
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
  std::string config_text;
  auto config = load_config(line, config_text);
  if (!config) return tl::unexpected<Problems>(std::move(config).error());
  const auto membership = run_membership(line, *config, caller_environment());
  if (!membership) return tl::unexpected<Problems>(Problems{membership.error()});
  if (membership->several()) {
    return run_on_nodes(line, *membership, std::move(*config), std::move(config_text));
  }
  auto loaded = load_run(line, std::move(*config), std::move(config_text));
  if (!loaded) return tl::unexpected<Problems>(std::move(loaded).error());
  auto code = RunSession(line, std::move(*loaded), std::move(detachment)).run();
  if (!code) return tl::unexpected<Problems>(Problems{std::move(code).error()});
  return *code;
}

}  // namespace muster::cli
