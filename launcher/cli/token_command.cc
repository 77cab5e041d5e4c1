// `muster token`: a new run token, in a file that only its owner can read.

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "collector/replication/run_token.h"
#include "launcher/cli/commands.h"

namespace muster::cli {
namespace {

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

}  // namespace

CommandResult token_command(const CommandLine& line) {
  const auto output = line.text("output");
  if (!output && !line.has("print") && ::isatty(STDOUT_FILENO) == 1) {
    return problem(Error{ErrorCode::kUsage, "a run token is a secret, and this is a terminal",
                         "--output FILE writes it to a file; --print shows it", std::nullopt});
  }
  std::string token = replication::make_token();
  CommandResult result = 0;
  const bool json = line.format == Format::kJson;
  if (!output && json) {
    const std::string_view digits = std::string_view(token).substr(0, token.find('\n'));
    std::string text = "{\"token\": \"" + std::string(digits) + "\"}\n";
    result = print(text);
    replication::wipe(text);
  } else if (!output) {
    result = print(token);
  } else if (auto written = replication::write_token(*output, token); !written) {
    result = problem(std::move(written).error());
  } else if (json) {
    result = print(nlohmann::json({{"token_file", *output}}).dump() + "\n");
  }
  replication::wipe(token);
  return result;
}

}  // namespace muster::cli
