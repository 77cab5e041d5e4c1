#include "launcher/cli/given_values.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace muster::cli {
namespace {

constexpr std::string_view kPrefix = "MUSTER_";

constexpr OtherVariable kOtherVariables[] = {
    {"MUSTER_RUNTIME_DIR",
     "where sockets lie while a run lasts, and Open MPI's session where /dev/shm has no room; else "
     "the first of "
     "`XDG_RUNTIME_DIR`, `TMPDIR`, `/tmp`, `/dev/shm` that is writable, local and has a short "
     "path"},
    {"XDG_RUNTIME_DIR", "see `MUSTER_RUNTIME_DIR`"},
    {"TMPDIR", "see `MUSTER_RUNTIME_DIR`"},
    {"MUSTER_LEASE_DIR",
     "where runs on this node say which cores and GPUs they have; else `muster-leases-UID` in "
     "`/dev/shm`, else in `/tmp`"},
    {"MUSTER_CHECK_PLACEMENT_AFTER",
     "how long after a rank's start its cores and memory are read back once more (`5s`); "
     "`0`: never"},
    {"PATH", "where `mpirun`, and the ranks' programs, are looked for"},
    {"MUSTER_CACHE_DIR",
     "where Python environments and downloads are kept for the next run; else `muster` in "
     "`XDG_CACHE_HOME`, else `~/.cache/muster`"},
    {"MUSTER_IMAGE",
     "the name of the image that a container is of, set by the image itself (`ENV`); "
     "`environment.image` is compared with it"},
    {"XDG_CACHE_HOME",
     "what `mpirun --version` said is kept in `muster` below it, else in "
     "`~/.cache/muster`"},
    {"HOME", "see `XDG_CACHE_HOME`"},
    {"MUSTER_NVML_LIBRARY", "NVIDIA's management library; else `libnvidia-ml.so.1`"},
    {"MUSTER_CUDA_LIBRARY",
     "CUDA's driver library, asked for GPUs where NVML is missing; else `libcuda.so.1`"},
    {"MUSTER_GPU_TIMEOUT",
     "how many seconds a GPU driver has for its answer before it is given up; else 30"},
    {"CUDA_VISIBLE_DEVICES",
     "which GPUs of the node are visible, to ranks and to the plan ([gpus.md](gpus.md))"},
    {"VIRTUAL_ENV",
     "the Python environment that is active; the plan shows it, and warns when ranks run another "
     "Python"},
    {"CONDA_PREFIX", "see `VIRTUAL_ENV`"},
    {"NO_COLOR", "when it is not empty, nothing is coloured"},
    {"TERM", "`dumb`: no status line and no colour"},
    {"MUSTER_METRICS",
     "set by Muster in every rank; a `muster` that finds it knows that it runs "
     "inside a rank, and that `MUSTER_RUN_ID` names the run around it"},
    {"MUSTER_GPU",
     "set by Muster in every rank that has GPUs: their numbers among the visible ones"},
    {"MUSTER_GPU_UUID", "the same GPUs by UUID"},
    {"MUSTER_NODE_SOCKET", "between the launcher and its agents"},
};

Result<> check_choice(const OptionRow& option, const GivenValue& value) {
  const auto choices = choices_of(option);
  // The config checks what goes into it, and its messages know more.
  if (choices.empty() || !option.key.empty()) return {};
  if (std::find(choices.begin(), choices.end(), value.text) != choices.end()) return {};
  const std::string near = did_you_mean_hint(value.text, choices);
  return fail(ErrorCode::kUsage, as_given(value) + " is not a choice",
              near.empty() ? "write one of " + join(choices, ", ") : near);
}

// Whether a switch is on: "--json", "--json=false", MUSTER_JSON=1.
Result<bool> switch_is_on(const GivenValue& value) {
  constexpr std::array kOn = {"1", "true", "yes", "on"};
  constexpr std::array kOff = {"0", "false", "no", "off"};
  if (std::find(kOn.begin(), kOn.end(), value.text) != kOn.end()) return true;
  if (std::find(kOff.begin(), kOff.end(), value.text) != kOff.end()) return false;
  return fail(ErrorCode::kUsage, as_given(value) + " is neither on nor off",
              "write 1 to switch it on, or 0");
}

// Options that cannot both hold.  Of two variables the command complains, of two flags too, or it
// says which one counts.
struct Exclusion {
  std::string_view one;
  std::string_view other;
};
constexpr Exclusion kExclusions[] = {{"json", "format"},
                                     {"raw", "merge"},
                                     {"raw", "timestamps"},
                                     {"follow", "until"},
                                     {"detach", "stdin"}};

// Whether a flag asks for something: `--raw=false` and `--stdin none` do not.
bool is_asked_for(std::string_view option, const Given& flags) {
  const auto found = flags.find(option);
  if (found == flags.end() || found->second.empty()) return false;
  return option != "stdin" || found->second.back().text != "none";
}

bool is_excluded(std::string_view option, const Given& flags) {
  return std::any_of(std::begin(kExclusions), std::end(kExclusions), [&](const Exclusion& each) {
    return (option == each.one && is_asked_for(each.other, flags)) ||
           (option == each.other && is_asked_for(each.one, flags));
  });
}

// Ranks carry variables that Muster itself gave them.
bool is_rank(const CallerEnvironment& environment) {
  return environment.contains("MUSTER_METRICS");
}

// In a rank it names the run around us, and no new one.
bool names_the_run_around(std::string_view variable, const CallerEnvironment& environment) {
  return variable == "MUSTER_RUN_ID" && is_rank(environment);
}

// All that mean something to Muster, without their "MUSTER_", which would make all of them alike.
std::vector<std::string> known_variables() {
  std::vector<std::string> names;
  const auto add = [&](std::string_view name) {
    if (!name.starts_with(kPrefix)) return;
    std::string rest(name.substr(kPrefix.size()));
    if (std::find(names.begin(), names.end(), rest) == names.end())
      names.push_back(std::move(rest));
  };
  for (const OptionRow& option : options()) add(variable_of(option));
  for (const OtherVariable& variable : other_variables()) add(variable.name);
  return names;
}

// For a name made of another launcher's option, "NPROC_PER_NODE": the variable of ours; else "".
std::string variable_of_foreign_name(std::string_view rest) {
  for (const OptionRow& option : options()) {
    for (const std::string& name : long_names(option)) {
      if (name != option.name && capitals(name) == rest) return variable_of(option);
    }
  }
  return "";
}

}  // namespace

std::span<const OtherVariable> other_variables() {
  return kOtherVariables;
}

std::string as_given(const GivenValue& value) {
  return value.by + (value.text.empty() ? "" : value.by.starts_with('-') ? " " : "=") + value.text;
}

Result<> add_given(const OptionRow& option, GivenValue value, Given& given) {
  if (!option.takes_value()) {
    MUSTER_TRY_ASSIGN(const bool on, switch_is_on(value));
    // Off, said aloud: no variable switches it on.
    if (!on) given[std::string(option.name)].clear();
    if (!on) return {};
    value.text.clear();
  }
  MUSTER_TRY(check_choice(option, value));
  given[std::string(option.name)].push_back(std::move(value));
  return {};
}

Result<Given> given_by_variables(const std::string& command, const CallerEnvironment& environment,
                                 const Given& flags) {
  Given given;
  for (const OptionRow* option : options_of(command)) {
    const std::string name = variable_of(*option);
    const auto variable = environment.find(name);
    if (name.empty() || variable == environment.end() || variable->second.empty()) continue;
    if (names_the_run_around(name, environment) || is_excluded(option->name, flags)) continue;
    if (!option->repeats) {
      const auto added = add_given(*option, {variable->second, name}, given);
      if (!added && !flags.contains(option->name)) return Failure(added.error());
      continue;
    }
    for (const std::string& line : split(variable->second, '\n')) {
      if (!line.empty()) MUSTER_TRY(add_given(*option, {line, name}, given));
    }
  }
  return given;
}

std::vector<std::string> warnings_of_variables(const CallerEnvironment& environment) {
  std::vector<std::string> warnings;
  if (is_rank(environment)) return warnings;
  const auto known = known_variables();
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(kPrefix)) continue;
    const std::string rest = name.substr(kPrefix.size());
    if (std::find(known.begin(), known.end(), rest) != known.end()) continue;
    if (const std::string own = variable_of_foreign_name(rest); !own.empty()) {
      warnings.push_back(name + " is not a variable of Muster's; it is called " + own);
    } else if (const auto near = did_you_mean(rest, known)) {
      warnings.push_back(name + " is not a variable of Muster's; did you mean " +
                         std::string(kPrefix) + *near + "?");
    }
  }
  return warnings;
}

}  // namespace muster::cli
