#include "launcher/python_env/mpi_check.h"

#include "base/files.h"
#include "base/text.h"
#include "launcher/python_env/pip_environment.h"

namespace muster::python_env {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 30s;

// The library may be asked for its name before MPI_Init.
constexpr const char* kQuestion = R"(
try:
    import mpi4py
    mpi4py.rc.initialize = False
    from mpi4py import MPI
    print("library", MPI.Get_library_version().split("\n")[0].split("\0")[0])
except Exception as error:
    print("complaint", str(error).split("\n")[0])
)";

bool brings_mpi4py(const plan::PythonPlan& plan) {
  std::error_code error;
  for (fs::directory_iterator at(plan.prefix() + "/lib", error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (fs::is_directory(at->path() / "site-packages/mpi4py", ignored)) return true;
  }
  return false;
}

struct Answer {
  std::string library;
  std::string complaint;
};

Answer parse(std::string_view text) {
  Answer answer;
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with("library ")) answer.library = without_controls(line.substr(8));
    if (line.starts_with("complaint ")) answer.complaint = without_controls(line.substr(10));
  }
  return answer;
}

}  // namespace

Result<std::string> check_mpi4py(Preparation& preparation, const plan::PythonPlan& plan,
                                 const std::map<std::string, std::string>& caller_environment,
                                 const std::string& mpi_version) {
  if (!brings_mpi4py(plan)) return std::string();
  const fs::path known = fs::path(plan.directory) / "mpi4py.txt";
  std::string text = read_file(known, 4096).value_or("");
  if (text.empty()) {
    HelperTask task;
    task.name = "asking mpi4py for its MPI";
    task.failure = ErrorCode::kResources;
    task.deadline = kPatience;
    task.spec.program = plan.python();
    task.spec.argv = {plan.python(), "-I", "-c", kQuestion};
    task.spec.environment = maker_environment(caller_environment);
    task.on_line = [&](std::string_view line) { text += std::string(line) + "\n"; };
    std::vector<HelperTask> tasks;
    tasks.push_back(std::move(task));
    if (auto ran = preparation.run(std::move(tasks)); !ran) {
      if (ran.error().code == ErrorCode::kStopped) return Failure(std::move(ran).error());
      return mpi4py_warning("", ran.error().message, mpi_version);
    }
    static_cast<void>(replace_file(known, text));
  }
  const Answer answer = parse(text);
  return mpi4py_warning(answer.library, answer.complaint, mpi_version);
}

std::string mpi4py_warning(const std::string& library, const std::string& complaint,
                           const std::string& mpi_version) {
  constexpr const char* kRemedy =
      "build it for this one with pip_options: [--no-binary, mpi4py], which needs its mpicc on "
      "PATH";
  if (library.empty()) {
    return "mpi4py of the Python environment does not load (" + complaint +
           "), and mpirun is Open MPI " + mpi_version + ": " + kRemedy;
  }
  if (library.starts_with("Open MPI")) return {};
  return "mpi4py of the Python environment uses " + library + ", and mpirun is Open MPI " +
         mpi_version + ": every rank would be a world of its own; " + kRemedy;
}

}  // namespace muster::python_env
