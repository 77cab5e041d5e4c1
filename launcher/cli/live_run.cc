#include "launcher/cli/live_run.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/process.h"
#include "base/text.h"

namespace muster::cli {
namespace {

using namespace std::chrono_literals;
using report::RunPhase;

// The lock on the run directory goes with the launcher's last moment, a little after its socket.
constexpr auto kEndPatience = 10s;
constexpr auto kEndInterval = 10ms;

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

std::string owner_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "another user";
  const passwd* user = ::getpwuid(info.st_uid);
  return user != nullptr ? user->pw_name : "user " + std::to_string(info.st_uid);
}

Error why_unreachable(const LiveRun& run, const Error& problem, const std::string& command) {
  const report::LauncherMark& launcher = run.state.view.launcher;
  const std::string id = "run " + run.found.run_id;
  const std::string process = "process " + std::to_string(launcher.pid);
  const std::string directory = shell_quoted(run.found.directory.root().string());
  Error error = problem;
  if (problem.code == ErrorCode::kPermission) {
    error.message = "the launcher of " + id + " may not be asked by this user: " + problem.message;
    error.hint = "ask as its owner: sudo -u " + owner_of(run.found.directory.run_json()) +
                 " muster " + command + " " + directory;
    return error;
  }
  error.code = ErrorCode::kResources;
  if (run.state.view.control_socket.empty()) {
    error.message = id + " was started by a Muster without a control socket (" +
                    run.state.view.muster_version + ")";
    error.hint = "its launcher is " + process + " on " + launcher.hostname;
    return error;
  }
  if (launcher.hostname != host_name()) {
    error.message = "the launcher of " + id + " is " + process + " on " + launcher.hostname +
                    ", and this is " + host_name();
    error.hint = "run this there: muster " + command + " " + directory;
    return error;
  }
  error.message = "the launcher of " + id + " lives (" + process + "), but not its socket " +
                  run.state.view.control_socket + " here: " + problem.message;
  error.hint =
      "it runs in another container or mount namespace: run this there: muster " + command + " RUN";
  return error;
}

}  // namespace

Result<LiveRun> open_live_run(const CommandLine& line) {
  MUSTER_TRY_ASSIGN(FoundRun found, find_run(line));
  MUSTER_TRY_ASSIGN(report::RunState state, report::look_at_run(found.directory));
  LiveRun run{std::move(found), std::move(state), std::nullopt, std::nullopt};
  if (!run.goes_on()) return run;
  auto client = exec::ControlClient::connect(run.state.view.control_socket);
  if (client) {
    run.client.emplace(std::move(*client));
    return run;
  }
  // It may have ended between the two.
  MUSTER_TRY_ASSIGN(run.state, report::look_at_run(run.found.directory));
  if (run.goes_on()) run.unreachable = why_unreachable(run, client.error(), line.command);
  return run;
}

Result<report::RunState> look_after_end(const LiveRun& run) {
  const auto deadline = std::chrono::steady_clock::now() + kEndPatience;
  while (true) {
    MUSTER_TRY_ASSIGN(auto state, report::look_at_run(run.found.directory));
    if (state.phase != RunPhase::kRunning || std::chrono::steady_clock::now() >= deadline) {
      return state;
    }
    std::this_thread::sleep_for(kEndInterval);
  }
}

bool launcher_stands_still(const LiveRun& run) {
  return run.client && process_state(run.client->launcher_pid()) == 'T';
}

Error no_answer(const LiveRun& run, Error error) {
  const std::string process = std::to_string(run.state.view.launcher.pid);
  if (error.code == ErrorCode::kTimeout && launcher_stands_still(run)) {
    error.hint = "process " + process +
                 " is stopped (Ctrl-Z?): `fg` or `bg` in its shell, or `kill -CONT " + process +
                 "`, lets it go on";
  } else if (error.code == ErrorCode::kTimeout) {
    error.hint = "process " + process + " may wait for a disk; its ranks may run all the same";
  }
  return std::move(error).with_context("run " + run.found.run_id);
}

Error lost_run(const LiveRun& run) {
  return Error{ErrorCode::kInternal,
               "run " + run.found.run_id + " is lost: its launcher (process " +
                   std::to_string(run.state.view.launcher.pid) +
                   ") is gone and did not write how it ended",
               "its ranks ended with it; what they wrote until then is in " +
                   (run.found.directory.root() / "ranks").string(),
               std::nullopt};
}

}  // namespace muster::cli
