#include "launcher/plan/run_command.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/text.h"

namespace muster::plan {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> script_argv(const std::string& path, const std::string& interpreter) {
  if (path.ends_with(".py")) return {interpreter, path};
  // A bare name would be looked for on PATH.
  if (path.find('/') == std::string::npos) return {"./" + path};
  return {path};
}

// The shell's own words stay as they were written; further arguments arrive as "$@".
std::vector<std::string> shell_argv(const std::string& text, bool has_arguments) {
  if (!has_arguments) return {"/bin/sh", "-c", text};
  return {"/bin/sh", "-c", text + " \"$@\"", "sh"};
}

std::string absolute_from(const std::string& directory, const std::string& path) {
  const fs::path absolute = (fs::path(directory) / path).lexically_normal();
  return (absolute.has_filename() ? absolute : absolute.parent_path()).string();
}

}  // namespace

std::vector<std::string> rank_argv(const config::RunConfig& config) {
  const std::vector<std::string> arguments = config::script_arguments(config);
  std::vector<std::string> argv;
  if (const auto* script = std::get_if<config::EntryScript>(&config.run.value)) {
    argv = script_argv(script->path, config.python_interpreter.value);
  } else if (const auto* command = std::get_if<config::ShellCommand>(&config.run.value)) {
    argv = shell_argv(command->text, !arguments.empty());
  } else {
    argv = std::get<config::Program>(config.run.value).argv;
  }
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

void choose_argv(const config::RunConfig& config, LaunchPlan& plan) {
  plan.argv = rank_argv(config);
  if (!std::holds_alternative<config::EntryScript>(config.run.value)) return;
  const auto of_command_line = static_cast<std::ptrdiff_t>(config.extra_arguments.size());
  const auto all = static_cast<std::ptrdiff_t>(config::script_arguments(config).size());
  const auto first = plan.argv.end() - all;
  plan.script_word = static_cast<int>(first - plan.argv.begin()) - 1;
  const auto end = plan.argv.end() - of_command_line;
  std::vector<std::string> words;
  std::copy_if(first, end, std::back_inserter(words),
               [](const std::string& word) { return word.find('$') != std::string::npos; });
  if (words.empty()) return;
  plan.expanded = {static_cast<int>(first - plan.argv.begin()), static_cast<int>(end - first)};
  plan.reasons.push_back({"arguments", join(words, " "),
                          "each rank puts in the values of its environment, without a shell; "
                          "names that are not set stay"});
}

void choose_working_directory(const config::RunConfig& config, const std::string& current_directory,
                              LaunchPlan& plan) {
  const auto& source = config.source_directory;
  if (source.value) {
    const std::string directory =
        absolute_from(config.config_directory.empty() ? current_directory : config.config_directory,
                      *source.value);
    plan.in_place = config.in_place.value;
    if (plan.in_place) {
      plan.working_directory = directory;
      plan.reasons.push_back({"working_directory", directory,
                              "in place (" + config.in_place.origin.text +
                                  "): source_directory itself (" + source.origin.text + ")"});
      return;
    }
    plan.source_directory = directory;
    plan.working_directory = "<copy of " + plan.source_directory + ">";
    plan.reasons.push_back(
        {"working_directory", plan.working_directory,
         "source_directory is set (" + source.origin.text + "): ranks run inside a copy"});
    return;
  }
  plan.in_place = true;
  const bool from_file = !config.file_name.empty();
  plan.working_directory = from_file ? config.config_directory : current_directory;
  plan.reasons.push_back({"working_directory", plan.working_directory,
                          from_file ? "in place: where the config is, without a source_directory"
                                    : "in place: the current directory"});
}

void explain_source(const SourcePlan& source, std::vector<Reason>& reasons) {
  const SourceFacts& facts = source.facts;
  std::string why = "at most " + counted(source.limit_files, "file") + " and " +
                    format_bytes(static_cast<std::uint64_t>(source.limit_bytes));
  if (facts.ignore_file.empty()) {
    why += "; no .amlignore or .gitignore there";
  } else {
    why += "; " + facts.ignore_file + " leaves " +
           (facts.left_out == 0 ? "nothing" : std::to_string(facts.left_out)) + " out";
  }
  reasons.push_back({"source", source_size(facts), why});
}

bool take_python3(const config::RunConfig& config, const PythonFacts& python, LaunchPlan& plan) {
  const bool lacks_python = python.word == "python" && python.executable.empty();
  if (!lacks_python || python.python3.empty()) return false;
  if (!std::holds_alternative<config::EntryScript>(config.run.value)) return false;
  plan.argv.front() = "python3";
  plan.reasons.push_back(
      {"interpreter", python.python3, "there is no python on the ranks' PATH: python3 is taken"});
  return true;
}

void explain_python(const PythonFacts& python, LaunchPlan& plan) {
  if (python.executable.empty()) {
    const std::string instead = python.python3.empty() ? "" : "; python3 is " + python.python3;
    plan.reasons.push_back({"interpreter", python.word, "not found on the ranks' PATH" + instead});
    return;
  }
  std::string why = python.word == python.executable ? "named by the run"
                                                     : "the first " + python.word + " on PATH";
  if (!python.environment.empty()) {
    why += ", of the environment " + python.environment + " (" + python.known_by + ")";
  }
  plan.reasons.push_back({"interpreter", python.executable, why});
  if (python.active.empty()) return;
  plan.warnings.push_back(python.active + " is active, and the ranks run " + python.executable +
                          ", which PATH has first; activate it again, or name its Python in "
                          "environment.python.interpreter");
}

}  // namespace muster::plan
