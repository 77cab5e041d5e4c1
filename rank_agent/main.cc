// muster-agent: parent of one training process.  It is started by mpirun or by the launcher, never
// by a person.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "base/error_text.h"
#include "base/exit_code.h"
#include "base/signals.h"
#include "base/text.h"
#include "base/unix_socket.h"
#include "muster/version.h"
#include "protocol/node_channel.h"
#include "rank_agent/remote_exec.h"
#include "rank_agent/supervisor.h"

namespace muster::agent {
namespace {

// The direct starter says the rank; mpirun gives it to every process it starts.
Result<int> own_rank() {
  for (const char* name : {protocol::kAgentRankVariable, "OMPI_COMM_WORLD_RANK"}) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    const auto rank = parse_integer(text);
    if (rank && *rank >= 0 && *rank < 1'000'000) return static_cast<int>(*rank);
    return fail(ErrorCode::kUsage, std::string(name) + " is \"" + text + "\", not a rank");
  }
  return fail(ErrorCode::kUsage, "neither mpirun nor a launcher told this agent its rank",
              "muster run starts agents; they are of no use by themselves");
}

Result<> serve() {
  const pid_t parent = ::getppid();
  // mpirun signals its ranks' process groups, and its pspawn has left us in its own.
  static_cast<void>(::setpgid(0, 0));
  MUSTER_TRY_ASSIGN(SignalFd signals, SignalFd::block(all_but_faults()));
  become_child_subreaper();
  if (!set_parent_death_signal(parent_death_signal(), parent)) {
    return fail(ErrorCode::kInternal, "the process that started this agent is gone");
  }
  MUSTER_TRY_ASSIGN(const int rank, own_rank());
  const char* socket_path = std::getenv(protocol::kNodeSocketVariable);
  if (socket_path == nullptr) {
    return fail(ErrorCode::kUsage, std::string(protocol::kNodeSocketVariable) + " is not set",
                "muster run starts agents; they are of no use by themselves");
  }
  MUSTER_TRY_ASSIGN(Fd socket, connect_unix(socket_path));
  Supervisor supervisor(protocol::NodeChannel(std::move(socket)), std::move(signals));
  MUSTER_TRY(supervisor.fetch_spec(rank, parent));
  return supervisor.run();
}

}  // namespace
}  // namespace muster::agent

int main(int argc, char** argv) {
  using namespace muster;
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("muster-agent %s\n", kVersion);
    return 0;
  }
  std::signal(SIGPIPE, SIG_IGN);
  restore_child_signal();
  ensure_standard_descriptors();
  if (argc >= 2 && std::strcmp(argv[1], "remote-exec") == 0) {
    return agent::remote_exec({argv + 2, argv + argc});
  }
  const Result<> served = agent::serve();
  if (served) return to_int(ExitCode::kSuccess);
  std::fputs(format_error(served.error(), "muster-agent").c_str(), stderr);
  return to_int(exit_code_for(served.error().code));
}
