// The one kind of command that a launcher runs for another launcher's mpirun: its own daemon, with
// nothing but parameters.  Pure.
//
// It is a line for a POSIX shell, as the agent contract of Open MPI 4 and 5 has it: assignments and
// exports of a few search paths, then a program whose name ends in orted or prted, then options
// whose values stand in double quotes.  What else a shell can do has no place in it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "muster/result.h"

namespace muster::protocol {

inline constexpr std::size_t kMaxDaemonCommand = std::size_t{1} << 20;  // bytes

struct DaemonCommand {
  std::string program;                                          // "orted", "/opt/openmpi/bin/prted"
  std::vector<std::pair<std::string, std::string>> variables;   // that the line sets
  std::vector<std::pair<std::string, std::string>> parameters;  // of --mca and its like
  std::vector<std::string> flags;                               // options without a value
};

// Errors: kUsage, naming what does not belong there.
Result<DaemonCommand> parse_daemon_command(std::string_view line);

// The node rank in mpirun's name of a node, "muster-3".  Errors: kUsage.
Result<int> node_rank_of_mpi_name(std::string_view name);

}  // namespace muster::protocol
