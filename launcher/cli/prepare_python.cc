#include "launcher/cli/prepare_python.h"

#include <unistd.h>

#include "launcher/python_env/make.h"
#include "launcher/python_env/mpi_check.h"

namespace muster::cli {
namespace {

constexpr const char* kLog = "python-environment.log";  // beside the launcher's own

void warn(const PreparationContext& context, const std::string& text) {
  context.plan.warnings.push_back(text);
  context.recorder.record().plan.warnings.push_back(text);
  context.console.print("muster: warning: " + text);
}

}  // namespace

Result<> prepare_python(const PreparationContext& context) {
  const plan::PythonPlan& plan = context.plan.python;
  if (!plan.needed()) return {};
  Preparation preparation(context.stops);
  const std::string& hostname = context.plan.nodes.front().hostname;
  const python_env::MakeRequest request{
      plan,
      context.run.inputs.caller_environment,
      context.directory.launcher_log(hostname).parent_path() / kLog,
      context.plan.limits.transfer_stall_timeout.value,
      "run " + context.recorder.record().run_id + " (process " + std::to_string(::getpid()) + ")",
      [&](const std::string& line) {
        context.console.print("muster: " + line);
        context.recorder.notice(line);
      }};
  MUSTER_TRY(python_env::make_ready(preparation, request));
  if (!context.plan.mpirun) return {};
  MUSTER_TRY_ASSIGN(
      const std::string warning,
      python_env::check_mpi4py(preparation, plan, context.run.inputs.caller_environment,
                               context.plan.mpirun->version));
  if (!warning.empty()) warn(context, warning);
  return {};
}

}  // namespace muster::cli
