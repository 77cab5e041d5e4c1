// How this command reaches a collector: the address, the token, and the same in words for a person.
#pragma once

#include <string>

#include "collector/replication/client.h"
#include "launcher/cli/command_line.h"
#include "muster/result.h"

namespace muster::cli {

// With the token of --token-file.  Errors: it cannot be read, the address is none.
Result<replication::ClientSettings> client_settings(const std::string& address,
                                                    const CommandLine& line, store::Writer writer);

// What delivers later what is left: "muster sync DIR --token-file FILE".
std::string sync_command_line(const std::string& directory, const CommandLine& line);

}  // namespace muster::cli
