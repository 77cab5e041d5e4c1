// Which Python environment a run needs, what it is called in the cache, and why.  Pure: what is on
// this node comes in as PythonSources (launcher/python_env/look.h).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launcher/config/run_config.h"
#include "muster/result.h"

namespace muster::plan {

struct LaunchPlan;

// What an interpreter says of itself.
struct InterpreterFacts {
  std::string executable;  // its full path, links followed
  std::string version;     // "3.11.2"
  std::string platform;    // "cpython-311-x86_64-linux-gnu"
  bool has_venv = false;
  bool has_ensurepip = false;
  bool has_virtualenv = false;
  std::string pip_version;  // "" without pip
  // It belongs to a virtual environment: a new one made from it would not see what that one has.
  bool in_environment = false;
  std::vector<std::string> site_directories;  // where its packages lie, the nearest first
  std::vector<std::string> distributions;     // what lies there: "numpy-1.24.2.dist-info"
  // Asked only with user_managed: "numpy" -> "1.24.2", or "" when it is not there.
  std::map<std::string, std::string> versions;
};

struct CondaProgram {
  enum class Kind { kMicromamba, kMamba, kConda };

  Kind kind = Kind::kMicromamba;
  std::string executable;  // full path
};

// A file that belongs to what is asked for.
struct NamedText {
  std::string path;  // absolute
  std::string text;
};

// What the node has for environment.python; paths are absolute.
struct PythonSources {
  std::string cache;                            // <cache>/python
  std::vector<std::string> made;                // keys of the environments that are there
  std::string machine;                          // "x86_64"
  std::optional<InterpreterFacts> interpreter;  // nullopt: see the problem
  std::optional<Error> interpreter_problem;     // why it could not be asked
  std::string interpreter_note;                 // "there is no python on PATH: python3 is taken"
  std::optional<CondaProgram> conda;            // the first that is there
  std::vector<std::string> pip_lines;           // pip_packages, with full paths
  std::vector<std::string> pip_options;         // the same
  std::string requirements_file;                // "" without
  std::string conda_file;                       // "" without
  std::vector<std::string> file_notes;          // where the two were found
  std::vector<NamedText> requirement_texts;     // requirements_file and all that it includes
  std::optional<NamedText> conda_text;          // conda_file
  std::vector<std::string> local_packages;      // "/w/a.whl 1204 1700000000.5": what pip may take
  std::vector<std::string> pip_settings;        // "index-url=https://host/simple": of the caller
  std::string working_directory;                // relative paths in requirements start here
};

// How a virtual environment gets its pip.
enum class VenvBy {
  kInheritedPip,  // pip of the interpreter, which the environment sees
  kEnsurepip,     // python -m venv brings one
  kOuterPip,      // none: the interpreter's pip is told where to install (--python)
  kVirtualenv,    // virtualenv brings one
};

struct PythonPlan {
  enum class Kind { kAsIs, kVenv, kConda };

  Kind kind = Kind::kAsIs;
  std::string key;        // "3.11-3f6a0c…"; "" with kAsIs
  std::string directory;  // <cache>/python/<key>
  bool made = false;      // it is there already
  VenvBy venv_by = VenvBy::kInheritedPip;
  InterpreterFacts interpreter;  // with kVenv: what it is made from
  bool system_site_packages = true;
  std::optional<CondaProgram> conda;
  std::vector<std::string> conda_channels;
  std::vector<std::string> conda_packages;
  std::string conda_file;
  std::vector<std::string>
      pip_lines;  // of a requirements file that Muster writes; may hold secrets
  std::vector<std::string> pip_options;  // words of the command line
  std::string requirements_file;
  std::string working_directory;
  std::string origin;  // "run.yaml:7:5"
  std::vector<std::string> notes;
  std::vector<std::string> warnings;

  bool needed() const { return kind != Kind::kAsIs; }
  bool installs_by_pip() const { return !pip_lines.empty() || !requirements_file.empty(); }
  std::string prefix() const { return directory + "/env"; }
  std::string python() const { return prefix() + "/bin/python"; }
  // "numpy, torch==2.1, requirements.txt": what is asked for, without credentials.
  std::vector<std::string> shown_packages() const;
  // The file that conda makes the environment from, when it has none of its own.
  std::string conda_yaml() const;
};

// What the caller asks of environment.python, before anything is looked at.
bool wants_packages(const config::RunConfig& config);

// Fails with kResources where the node lacks what it takes.
Result<PythonPlan> plan_python(const config::RunConfig& config, const PythonSources& sources);

// Has every rank run with it: PATH, VIRTUAL_ENV or CONDA_PREFIX, argv[0] of a Python script; with
// its reasons and warnings.  After the environment is planned, which it adds to.
void use_python_environment(const config::RunConfig& config,
                            const std::map<std::string, std::string>& caller_environment,
                            LaunchPlan& plan);

}  // namespace muster::plan
