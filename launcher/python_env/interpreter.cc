#include "launcher/python_env/interpreter.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/program_answer.h"
#include "base/text.h"

namespace muster::python_env {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

constexpr auto kPatience = 60s;  // a cold network file system reads a whole library

// Isolated (-I): no file of the current directory is taken for a module of the library.
constexpr const char* kQuestions = R"(
import json, os, site, sys, sysconfig
from importlib.util import find_spec

def has(name):
    try:
        return find_spec(name) is not None
    except Exception:
        return False

def pip_version():
    try:
        import pip
        return pip.__version__
    except Exception:
        return ""

def installed(directories):
    names = []
    for directory in directories:
        try:
            names += os.listdir(directory)
        except OSError:
            pass
    return [n for n in names if n.endswith((".dist-info", ".egg-info", ".egg-link", ".pth"))]

def version(name):
    try:
        from importlib.metadata import version
        return version(name)
    except Exception:
        return ""

own = sys.prefix == sys.base_prefix
directories = list(site.getsitepackages())
user = site.getusersitepackages()
if os.path.isdir(user) and own:
    directories.append(user)
directories = [d for d in directories if os.path.isdir(d)]
facts = {
    "executable": os.path.realpath(sys.executable) if own else sys.executable,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "platform": (sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag) + " " + sysconfig.get_platform(),
    "venv": has("venv"), "ensurepip": has("ensurepip"), "virtualenv": has("virtualenv"),
    "pip": pip_version() if has("pip") else "",
    "in_environment": not own,
    "directories": directories,
    "installed": installed(directories),
}
if len(sys.argv) > 1:
    sys.path += [p for p in os.environ.get("PYTHONPATH", "").split(":") if p] + [user]
    facts["versions"] = {name: version(name) for name in sys.argv[1:]}
print("\n" + json.dumps(facts))
)";

Error not_a_python(const std::string& executable, const std::string& why) {
  return Error{ErrorCode::kResources, "cannot use the Python " + executable + ": " + why,
               "name a Python 3 of this node in environment.python.interpreter"};
}

std::string last_line(const std::string& text) {
  std::string last;
  for (const std::string& line : split(text, '\n')) {
    if (!line.empty()) last = line;
  }
  return last;
}

plan::InterpreterFacts facts_of(const Json& json) {
  plan::InterpreterFacts facts;
  facts.executable = json.at("executable").get<std::string>();
  facts.version = json.at("version").get<std::string>();
  facts.platform = json.at("platform").get<std::string>();
  facts.has_venv = json.at("venv").get<bool>();
  facts.has_ensurepip = json.at("ensurepip").get<bool>();
  facts.has_virtualenv = json.at("virtualenv").get<bool>();
  facts.pip_version = json.at("pip").get<std::string>();
  facts.in_environment = json.at("in_environment").get<bool>();
  facts.site_directories = json.at("directories").get<std::vector<std::string>>();
  facts.distributions = json.at("installed").get<std::vector<std::string>>();
  if (json.contains("versions")) {
    facts.versions = json.at("versions").get<std::map<std::string, std::string>>();
  }
  return facts;
}

}  // namespace

Result<plan::InterpreterFacts> ask_interpreter(const std::string& executable,
                                               const Environment& environment,
                                               const std::vector<std::string>& names) {
  ChildSpec spec;
  spec.program = executable;
  spec.argv = {executable, "-I", "-c", kQuestions};
  spec.argv.insert(spec.argv.end(), names.begin(), names.end());
  for (const auto& [name, value] : environment) spec.environment.push_back(name + "=" + value);
  auto answer = ask_program(std::move(spec), kPatience);
  if (!answer) return Failure(not_a_python(executable, answer.error().message));
  const std::string said = last_line(answer->output);
  if (!answer->ok()) {
    const std::string words =
        said.empty() ? "" : " (" + without_controls(said).substr(0, 200) + ")";
    return Failure(not_a_python(executable, answer->describe(kPatience) + words));
  }
  const Json json = Json::parse(said, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return Failure(not_a_python(executable, "it does not answer as a Python 3 does"));
  }
  try {
    return facts_of(json);
  } catch (const Json::exception& error) {
    return Failure(not_a_python(executable, std::string("its answer is odd: ") + error.what()));
  }
}

}  // namespace muster::python_env
