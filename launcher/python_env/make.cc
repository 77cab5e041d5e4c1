#include "launcher/python_env/make.h"

#include <csignal>
#include <fcntl.h>
#include <memory>
#include <random>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/credentials.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/python_env/activity.h"
#include "launcher/python_env/environment_lock.h"
#include "launcher/python_env/pip_environment.h"

namespace muster::python_env {
namespace fs = std::filesystem;
namespace {

using namespace std::chrono_literals;
using plan::PythonPlan;
using plan::VenvBy;

constexpr auto kStillInterval = 30s;  // between two lines of "still at it"

bool is_complete(const PythonPlan& plan) {
  return ::access(plan.python().c_str(), X_OK) == 0;
}

// "2026-11-23T12:40:00Z"; "" when it cannot be told.
std::string made_at(const PythonPlan& plan) {
  struct stat info {};
  if (::lstat(plan.prefix().c_str(), &info) != 0) return {};
  const std::string text = format_utc(std::chrono::system_clock::from_time_t(info.st_mtim.tv_sec));
  return text.substr(0, text.find('.')) + "Z";
}

// What is left of makers that were killed; under the lock.
void remove_leftovers(const PythonPlan& plan) {
  std::error_code error;
  const fs::path current = fs::read_symlink(plan.prefix(), error);
  std::vector<fs::path> left;
  fs::directory_iterator at(plan.directory, error);
  for (const fs::directory_iterator end; !error && at != end; at.increment(error)) {
    const fs::path name = at->path().filename();
    const bool ours = name.string().starts_with("made-") || name.string().starts_with("new-");
    if (ours && (name != current || !is_complete(plan))) left.push_back(at->path());
  }
  for (const fs::path& path : left) static_cast<void>(remove_tree(path));
}

// One attempt; what it has made goes away unless it is finished.
class Maker {
 public:
  Maker(Preparation& preparation, const MakeRequest& request)
      : preparation_(preparation),
        request_(request),
        plan_(request.plan),
        number_(fmt::format("{:08x}", std::random_device()())),
        attempt_(fs::path(plan_.directory) / ("made-" + number_)) {}
  Maker(const Maker&) = delete;
  Maker& operator=(const Maker&) = delete;
  ~Maker() {
    if (!finished_) static_cast<void>(remove_tree(attempt_));
    static_cast<void>(remove_tree(files()));
  }

  Result<> make() {
    MUSTER_TRY(write_files());
    if (plan_.kind == PythonPlan::Kind::kConda) {
      MUSTER_TRY(run("making the conda environment", conda_argv(), conda_environment()));
    } else {
      MUSTER_TRY(run("making the virtual environment", venv_argv(), {}));
      MUSTER_TRY(complete_venv());
    }
    if (::access(python().c_str(), X_OK) != 0) {
      return fail(
          ErrorCode::kResources, "the Python environment has no bin/python: " + attempt_.string(),
          plan_.kind == PythonPlan::Kind::kConda ? "list python among the conda packages"
                                                 : "see what was said: " + request_.log.string());
    }
    if (plan_.installs_by_pip()) {
      MUSTER_TRY(check_pip_settings());
      MUSTER_TRY(run("installing packages", pip_argv(), {}));
    }
    return finish();
  }

 private:
  fs::path files() const { return fs::path(plan_.directory) / ("new-" + number_); }
  std::string python() const { return (attempt_ / "bin/python").string(); }

  // Requirements may hold tokens: nobody else reads them, and they go when the attempt ends.
  Result<> write_files() const {
    MUSTER_TRY(make_directories(files()));
    if (::chmod(files().c_str(), 0700) != 0) {
      return Failure(system_error(ErrorCode::kResources, "making " + files().string()));
    }
    std::string lines;
    for (const std::string& line : plan_.pip_lines) lines += line + "\n";
    MUSTER_TRY(replace_file(files() / "requirements.txt", lines));
    return replace_file(files() / "environment.yml", plan_.conda_yaml());
  }

  std::vector<std::string> venv_argv() const {
    const auto& interpreter = plan_.interpreter;
    const bool virtualenv = plan_.venv_by == VenvBy::kVirtualenv;
    std::vector<std::string> argv = {interpreter.executable, "-m",
                                     virtualenv ? "virtualenv" : "venv"};
    // What another virtual environment has is seen through a file: see complete_venv().
    if (plan_.system_site_packages && !interpreter.in_environment) {
      argv.emplace_back("--system-site-packages");
    }
    const bool brings_pip = virtualenv || plan_.venv_by == VenvBy::kEnsurepip;
    if (!brings_pip) argv.emplace_back("--without-pip");
    argv.push_back(attempt_.string());
    return argv;
  }

  // The directory where it finds its packages.
  Result<fs::path> site_packages() const {
    std::error_code error;
    for (fs::directory_iterator at(attempt_ / "lib", error), end; !error && at != end;
         at.increment(error)) {
      const fs::path found = at->path() / "site-packages";
      if (at->path().filename().string().starts_with("python") && fs::is_directory(found)) {
        return found;
      }
    }
    return fail(ErrorCode::kResources,
                "the new Python environment has no site-packages: " + attempt_.string());
  }

  Result<> complete_venv() const {
    if (plan_.system_site_packages && plan_.interpreter.in_environment) {
      MUSTER_TRY_ASSIGN(const fs::path site, site_packages());
      std::string lines;
      for (const std::string& each : plan_.interpreter.site_directories) lines += each + "\n";
      MUSTER_TRY(replace_file(site / "_muster_base.pth", lines));
    }
    if (plan_.venv_by != VenvBy::kInheritedPip) return {};
    // `pip` on the ranks' PATH is then this environment's, not the one of the system.
    const std::string script = "#!" + python() +
                               "\nimport sys\nfrom pip._internal.cli.main import main\n"
                               "sys.exit(main())\n";
    for (const char* name : {"pip", "pip3"}) {
      const fs::path path = attempt_ / "bin" / name;
      MUSTER_TRY(replace_file(path, script));
      if (::chmod(path.c_str(), 0755) != 0) {
        return Failure(system_error(ErrorCode::kResources, "making " + path.string()));
      }
    }
    return {};
  }

  std::vector<std::string> pip() const {
    if (plan_.kind == PythonPlan::Kind::kVenv && plan_.venv_by == VenvBy::kOuterPip) {
      return {plan_.interpreter.executable, "-m", "pip", "--python", python()};
    }
    return {python(), "-m", "pip"};
  }

  std::vector<std::string> pip_argv() const {
    std::vector<std::string> argv = pip();
    // Without --no-user a setting of the person's may take packages into their home.
    argv.insert(argv.end(), {"install", "--no-user"});
    argv.insert(argv.end(), plan_.pip_options.begin(), plan_.pip_options.end());
    if (!plan_.pip_lines.empty()) {
      argv.insert(argv.end(), {"-r", (files() / "requirements.txt").string()});
    }
    if (!plan_.requirements_file.empty()) {
      argv.insert(argv.end(), {"-r", plan_.requirements_file});
    }
    return argv;
  }

  // Its configuration files may say `target`, `prefix` or `root`, which no option takes back.
  Result<> check_pip_settings() {
    std::vector<std::string> argv = pip();
    argv.insert(argv.end(), {"config", "list"});
    std::string leads_away;
    MUSTER_TRY(run("asking pip for its settings", std::move(argv), {}, [&](std::string_view line) {
      const std::string_view key = line.substr(0, line.find('='));
      for (const char* name : {".target", ".prefix", ".root", ".dry-run"}) {
        if (key.ends_with(name) && !key.starts_with(":env:")) leads_away = key;
      }
    }));
    if (leads_away.empty()) return {};
    return fail(ErrorCode::kResources,
                "pip's setting " + leads_away +
                    " would take packages elsewhere than into the "
                    "environment that is made for the run",
                "`pip config debug` says in which file it is; PIP_CONFIG_FILE=/dev/null leaves "
                "all of them out");
  }

  std::vector<std::string> conda_argv() const {
    const bool own_file = !plan_.conda_file.empty();
    const std::string file = own_file ? plan_.conda_file : (files() / "environment.yml").string();
    const std::string& program = plan_.conda->executable;
    if (plan_.conda->kind == plan::CondaProgram::Kind::kMicromamba) {
      return {program, "create", "--yes", "--prefix", attempt_.string(), "--file", file};
    }
    return {program, "env", "create", "--prefix", attempt_.string(), "--file", file};
  }

  std::map<std::string, std::string> conda_environment() const {
    std::map<std::string, std::string> more = {{"CONDA_ALWAYS_YES", "true"},
                                               {"MAMBA_ALWAYS_YES", "true"}};
    // Where micromamba keeps what it has downloaded; it refuses to work without.
    if (!request_.caller_environment.contains("MAMBA_ROOT_PREFIX")) {
      more["MAMBA_ROOT_PREFIX"] =
          (fs::path(plan_.directory).parent_path().parent_path() / "conda").string();
    }
    return more;
  }

  Result<> run(const std::string& what, std::vector<std::string> argv,
               const std::map<std::string, std::string>& variables,
               const std::function<void(std::string_view)>& on_line = {}) {
    HelperTask task;
    task.name = what + " of the Python environment " + plan_.key;
    task.failure = ErrorCode::kResources;
    task.log = request_.log;
    task.hint = "all that was said: " + request_.log.string();
    const bool module = argv.size() > 2 && argv[1] == "-m";
    const std::string program = module ? argv[2] : fs::path(argv.front()).filename().string();
    // One stream for both, so that all of it passes through our hands before it is stored.
    task.spec.program = "/bin/sh";
    task.spec.argv = {program, "-c", "exec \"$@\" 2>&1", program};
    task.spec.argv.insert(task.spec.argv.end(), argv.begin(), argv.end());
    task.spec.environment = maker_environment(request_.caller_environment, variables);
    task.spec.working_directory = plan_.working_directory;
    task.spec.parent_death_signal = SIGKILL;
    const auto activity = std::make_shared<Activity>(attempt_.string(), request_.stall_timeout);
    const auto said = std::make_shared<Said>();
    task.on_line = [this, activity, said, on_line](std::string_view line) {
      activity->heard();
      said->line = without_credentials(line);
      log(said->line);
      if (on_line) on_line(line);
    };
    task.check = [this, activity, said]() -> Result<> {
      if (std::chrono::steady_clock::now() - said->told >= kStillInterval) {
        said->told = std::chrono::steady_clock::now();
        request_.say("still making the Python environment: " +
                     without_controls(said->line).substr(0, 120));
      }
      return activity->check();
    };
    std::vector<HelperTask> tasks;
    tasks.push_back(std::move(task));
    return preparation_.run(std::move(tasks));
  }

  void log(const std::string& line) const {
    // Opened anew: one line in a second or so, and the log is right whoever is killed when.
    if (auto file = open_file(request_.log, O_WRONLY | O_CREAT | O_APPEND)) {
      static_cast<void>(write_all(*file, line + "\n"));
    }
  }

  // From here on it is used: all of it on the disk, then the link.
  Result<> finish() {
    if (auto directory = open_file(attempt_, O_RDONLY | O_DIRECTORY)) ::syncfs(directory->get());
    const fs::path link = files() / "env";
    std::error_code error;
    fs::create_symlink(attempt_.filename(), link, error);
    if (!error) fs::rename(link, plan_.prefix(), error);
    if (error) {
      return fail(ErrorCode::kResources,
                  "finishing the Python environment " + plan_.directory + ": " + error.message());
    }
    finished_ = true;
    return {};
  }

  struct Said {
    std::string line;
    std::chrono::steady_clock::time_point told = std::chrono::steady_clock::now();
  };

  Preparation& preparation_;
  const MakeRequest& request_;
  const PythonPlan& plan_;
  std::string number_;
  fs::path attempt_;
  bool finished_ = false;
};

std::string in_short(const PythonPlan& plan) {
  constexpr std::size_t kMost = 5;
  std::vector<std::string> packages = plan.shown_packages();
  if (packages.size() > kMost) {
    packages.resize(kMost);
    packages.emplace_back("…");
  }
  for (std::string& each : packages) each = without_controls(each);
  return join(packages, ", ");
}

}  // namespace

Result<> make_ready(Preparation& preparation, const MakeRequest& request) {
  const PythonPlan& plan = request.plan;
  if (is_complete(plan)) {
    request.say("Python environment " + plan.key + ", made " + made_at(plan));
    return {};
  }
  MUSTER_TRY_ASSIGN(const Fd lock,
                    lock_environment(preparation, plan.directory, request.maker, request.say));
  remove_leftovers(plan);
  if (is_complete(plan)) {
    request.say("Python environment " + plan.key + ", made " + made_at(plan));
    return {};
  }
  request.say("making the Python environment " + plan.key + ": " + in_short(plan) + "; log " +
              request.log.string());
  const auto began = std::chrono::steady_clock::now();
  MUSTER_TRY(Maker(preparation, request).make());
  request.say("made the Python environment in " +
              format_duration(std::chrono::steady_clock::now() - began));
  return {};
}

}  // namespace muster::python_env
