#include "launcher/cli/run_data.h"

#include <cstdlib>
#include <filesystem>

#include "base/exit_code.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/cli/find_datastores.h"
#include "launcher/data/probe.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

bool needs_rclone(const std::vector<plan::ResolvedBinding>& bindings) {
  for (const plan::ResolvedBinding& each : bindings) {
    if (each.place && each.place->kind == plan::DataPlace::Kind::kRclone &&
        each.binding->mode.value != config::DataMode::kDirect) {
      return true;
    }
  }
  return false;
}

}  // namespace

tl::expected<void, Problems> look_at_data(const CommandLine& line, LoadedRun& run) {
  if (run.config.inputs.empty() && run.config.outputs.empty()) return {};
  auto datastores = load_datastores(
      find_datastores(line, run.config.config_directory, run.inputs.caller_environment));
  if (!datastores) return tl::unexpected<Problems>(std::move(datastores).error());
  run.inputs.datastores = std::move(*datastores);
  const auto resolved =
      plan::resolve_data(run.config, run.inputs.datastores, run.inputs.current_directory);
  if (!resolved) return tl::unexpected<Problems>(resolved.error());
  data::ProbeWishes wishes;
  wishes.local_paths = plan::local_paths(*resolved);
  wishes.rclone = needs_rclone(*resolved);
  run.inputs.data = data::probe(wishes, run.inputs.caller_environment);
  run.inputs.data.current_directory = run.inputs.current_directory;
  return {};
}

std::unique_ptr<data::Mounts> make_mounts(const PreparationContext& context) {
  const plan::LaunchPlan& plan = context.plan;
  if (plan.data.empty()) return nullptr;
  data::MountSettings settings;
  settings.hostname = plan.nodes.front().hostname;
  settings.data_directory = context.runtime.runtime.path() / "data";
  settings.run_directory = context.directory.root();
  settings.log_directory = context.directory.root() / "launcher";
  settings.environment = context.run.inputs.caller_environment;
  settings.fusermount = context.run.inputs.data.fusermount;
  if (const auto own = own_executable()) settings.reader = own->string();
  settings.mount_timeout = plan.limits.mount_timeout.value;
  settings.unmount_timeout = plan.limits.unmount_timeout.value;
  RunRecorder& recorder = context.recorder;
  report::Console& console = context.console;
  settings.on_event = [&recorder](const std::string& what, const plan::DataItem& item,
                                  const std::string& detail) {
    recorder.event("mount_" + what, {{"direction", item.is_output ? "output" : "input"},
                                     {"name", item.name},
                                     {"detail", detail}});
  };
  settings.notice = [&recorder, &console](const std::string& text) {
    console.print(text);
    recorder.notice(text);
  };
  return std::make_unique<data::Mounts>(plan.data, std::move(settings));
}

void end_mounts(data::Mounts& mounts, const plan::LaunchPlan& plan, plan::RunOutcome& outcome) {
  std::chrono::milliseconds patience = plan.limits.unmount_timeout.value;
  if (outcome.finish_by) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        *outcome.finish_by - std::chrono::steady_clock::now());
    patience = std::clamp(left, std::chrono::milliseconds(0), patience);
  }
  const data::Unmounted ended = mounts.stop(patience, [] { return false; });
  for (const std::string& name : ended.lazily) {
    outcome.warnings.push_back(name + " did not let itself be unmounted within " +
                               format_duration(patience) + " and was unmounted lazily");
  }
  for (const std::string& what : ended.incomplete) {
    outcome.warnings.push_back(what);
    if (outcome.exit_code != 0) continue;
    outcome.status = plan::RunStatus::kFailed;
    outcome.exit_code = to_int(ExitCode::kData);
    plan::FirstFailure failure;
    failure.origin = plan::FailureOrigin::kMuster;
    failure.how = "data";
    failure.description = what;
    outcome.first_failure = failure;
  }
}

}  // namespace muster::cli
