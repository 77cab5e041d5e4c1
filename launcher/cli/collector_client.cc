#include "launcher/cli/collector_client.h"

#include "base/text.h"
#include "collector/replication/run_token.h"

namespace muster::cli {

Result<replication::ClientSettings> client_settings(const std::string& address,
                                                    const CommandLine& line, store::Writer writer) {
  replication::ClientSettings settings;
  MUSTER_TRY_ASSIGN(settings.collector, replication::parse_address(address));
  settings.insecure = line.has("insecure");
  settings.writer = std::move(writer);
  if (const auto file = line.text("token-file")) {
    MUSTER_TRY_ASSIGN(replication::TokenKeys keys, replication::read_token(*file));
    settings.keys = std::make_shared<const replication::TokenKeys>(std::move(keys));
  }
  return settings;
}

std::string sync_command_line(const std::string& directory, const CommandLine& line) {
  std::string text = "muster sync " + shell_quoted(directory);
  // A descriptor is gone by then.
  const auto file = line.text("token-file");
  if (file) text += " --token-file " + (file->starts_with("fd:") ? "FILE" : shell_quoted(*file));
  if (line.has("insecure")) text += " --insecure";
  return text;
}

}  // namespace muster::cli
