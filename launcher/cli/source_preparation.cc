#include "launcher/cli/source_preparation.h"

#include <chrono>

#include "base/text.h"
#include "launcher/exec/git_state.h"
#include "launcher/exec/source_copy.h"

namespace muster::cli {
namespace {

using Clock = std::chrono::steady_clock;

// A start waits for git no longer: in a large tree on a slow disk it takes minutes.
constexpr auto kGitPatience = std::chrono::seconds(2);

Result<> copy(const PreparationContext& context, plan::SourceRecord& record) {
  const auto& tree = context.run.source;
  if (!tree) return fail(ErrorCode::kInternal, "nobody has looked at source_directory");
  const auto began = Clock::now();
  Preparation stop_check(context.stops);
  MUSTER_TRY_ASSIGN(const auto copied, exec::copy_source(*tree, context.plan.working_directory,
                                                         [&] { return stop_check.check_stop(); }));
  record.ignore_file = tree->facts.ignore_file;
  record.files = copied.files;
  record.bytes = copied.bytes;
  record.hash = copied.hash;
  context.recorder.event("source_copied",
                         {{"files", copied.files}, {"bytes", copied.bytes}, {"hash", copied.hash}});
  context.recorder.notice("copied " + record.directory + ": " + counted(copied.files, "file") +
                          ", " + format_bytes(static_cast<std::uint64_t>(copied.bytes)) + " in " +
                          format_duration(Clock::now() - began));
  return {};
}

}  // namespace

Result<> prepare_source(const PreparationContext& context) {
  const plan::LaunchPlan& plan = context.plan;
  if (!context.run.config.source_directory.value || context.run.lacks_source) return {};
  plan::SourceRecord record;
  record.in_place = plan.in_place;
  record.directory = plan.in_place ? plan.working_directory : plan.source_directory;

  const auto& environment = context.run.inputs.caller_environment;
  const auto path = environment.find("PATH");
  const auto git_deadline = Clock::now() + kGitPatience;
  auto git =
      exec::GitQuestion::ask(record.directory, path == environment.end() ? "" : path->second);
  if (!plan.in_place) MUSTER_TRY(copy(context, record));
  record.git = git.answer(git_deadline);
  if (record.git && !record.git->problem.empty()) context.recorder.notice(record.git->problem);
  context.recorder.record().source = std::move(record);
  return context.recorder.write_run_json(false);
}

}  // namespace muster::cli
