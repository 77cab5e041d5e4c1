// `muster run`: config → discovery → plan → execution → report → exit code.

#include "launcher/cli/commands.h"
#include "launcher/cli/run_session.h"

namespace muster::cli {

CommandResult run_command(const CommandLine& line, const std::vector<std::string>& words) {
  auto loaded = load_run(line);
  if (!loaded) return tl::unexpected<Problems>(std::move(loaded).error());
  auto code = RunSession(line, words, std::move(*loaded)).run();
  if (!code) return tl::unexpected<Problems>(Problems{std::move(code).error()});
  return *code;
}

}  // namespace muster::cli
