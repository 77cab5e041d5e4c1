// What starts the agents of a node: mpirun, or the launcher itself.  Everything else about a run is
// the same for both.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/process.h"
#include "launcher/plan/launch_plan.h"
#include "muster/result.h"

namespace muster::exec {

class RankStarter {
 public:
  virtual ~RankStarter() = default;

  virtual Result<> start() = 0;
  // How it ended, once all of it has; then nothing of it runs any more.
  virtual std::optional<ExitStatus> try_reap() = 0;
  virtual void kill() = 0;
  // From hold() to resume() it does nothing; agents go on.
  virtual void hold() {}
  virtual void resume() {}
  // Whether `pid` is a child that this starter reaps itself.
  virtual bool owns(pid_t pid) const = 0;
  // Whether the agent of `rank` is known to have ended; only its parent knows.
  virtual bool agent_has_ended(int rank) const = 0;
  // Whether an agent is on its way: alive, and not among those that have `arrived`.
  virtual bool awaits_agent(const std::set<pid_t>& arrived) const = 0;
  // How the agent of `rank` ended, when this starter is its parent; waits a moment for it.
  virtual std::optional<ExitStatus> agent_end(int rank) = 0;
};

struct StarterContext {
  std::map<std::string, std::string> environment;  // complete, node socket included
  std::string agent_executable;
  std::string working_directory;
  int log_fd = -1;                 // what the starter and the agents themselves print
  std::string rankfile_path = {};  // where mpirun's rankfile is put, if it has one
  std::string hostfile_path = {};  // and its hostfile, on several nodes
};

std::unique_ptr<RankStarter> make_mpirun_starter(const plan::MpirunCommand& command,
                                                 StarterContext context);
std::unique_ptr<RankStarter> make_direct_starter(const std::vector<int>& ranks,
                                                 StarterContext context);

}  // namespace muster::exec
