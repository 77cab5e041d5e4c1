// `muster-agent remote-exec NODE WORDS…`: what mpirun starts where it would start ssh.
//
// It asks the launcher that started mpirun to have its daemon started on that node, and lives as
// long as the daemon does.  mpirun learns from its end alone how the daemon fares: 0 when the
// daemon ended with 0, and otherwise one of these, with a line on stderr.
#pragma once

#include <string>
#include <vector>

namespace muster::agent {

enum class RemoteExecEnd {
  kDone = 0,
  kUnreachable = 201,   // the launcher does not answer, or has gone
  kRefused = 202,       // by the launcher, or by the node's
  kDaemonFailed = 203,  // it did not start in time, or ended otherwise than with 0
  kNodeLost = 204,
};

// `words`: argv behind "remote-exec".  Returns the exit status.
int remote_exec(const std::vector<std::string>& words);

}  // namespace muster::agent
