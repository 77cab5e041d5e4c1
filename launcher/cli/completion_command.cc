// `muster completion SHELL` for people, `muster complete -- WORDS` for the scripts that it prints.

#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/complete.h"
#include "launcher/cli/find_run.h"

namespace muster::cli {

CommandResult completion_command(const CommandLine& line) {
  const std::string shell = line.words.empty() ? "" : line.words.front();
  const std::string script = completion_script(shell);
  if (!script.empty() && line.words.size() == 1) return print(script);
  const std::vector<std::string> known = {"bash", "zsh", "fish"};
  const std::string near = did_you_mean_hint(shell, known);
  return tl::unexpected<Problems>(Problems{Error{
      ErrorCode::kUsage,
      shell.empty() ? "no shell is named"
                    : "there is no completion for " + shell_quoted(line.words),
      near.empty() ? "write one of bash, zsh, fish: muster completion bash" : near, std::nullopt}});
}

CommandResult complete_command(const CommandLine& line) {
  const auto runs_in = [](const std::string& runs_dir) {
    std::vector<std::string> ids;
    for (const FoundRun& run : list_runs(runs_dir)) ids.push_back(run.run_id);
    return ids;
  };
  const auto words = line.after_dashes.value_or(std::vector<std::string>{});
  const auto environment = caller_environment();
  const auto runs_dir = environment.find("MUSTER_RUNS_DIR");
  return print(completion_lines(
      complete(words, runs_dir == environment.end() ? line.runs_dir : runs_dir->second, runs_in)));
}

}  // namespace muster::cli
