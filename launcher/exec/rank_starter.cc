#include "launcher/exec/rank_starter.h"

#include <csignal>
#include <fcntl.h>

#include "base/files.h"
#include "base/process_limits.h"
#include "protocol/node_channel.h"

namespace muster::exec {
namespace {

constexpr auto kAgentEndWait = std::chrono::milliseconds(200);

std::vector<std::string> to_block(const std::map<std::string, std::string>& environment) {
  std::vector<std::string> block;
  for (const auto& [name, value] : environment) block.push_back(name + "=" + value);
  return block;
}

Result<Child> start_child(ChildSpec& spec, const StarterContext& context,
                          const std::string& input = "/dev/null") {
  MUSTER_TRY_ASSIGN(const Fd input_fd, open_file(input, O_RDONLY));
  spec.stdin_fd = input_fd.get();
  spec.stdout_fd = context.log_fd;
  spec.stderr_fd = context.log_fd;
  spec.working_directory = context.working_directory;
  auto child = Child::start(spec);
  if (!child && child.error().stage == StartFailure::Stage::kFork) {
    return fail(ErrorCode::kResources, child.error().describe(spec), kProcessLimitHint);
  }
  if (!child) return fail(ErrorCode::kTimeout, child.error().describe(spec));
  return std::move(*child);
}

class MpirunStarter : public RankStarter {
 public:
  MpirunStarter(const plan::MpirunCommand& command, StarterContext context)
      : command_(command), context_(std::move(context)) {}

  Result<> start() override {
    ChildSpec spec;
    spec.program = command_.executable;
    spec.argv = command_.argv();
    if (!command_.hostfile.empty()) {
      MUSTER_TRY(replace_file(context_.hostfile_path, command_.hostfile));
      context_.environment[command_.hostfile_variable] = context_.hostfile_path;
    }
    spec.environment = to_block(context_.environment);
    spec.parent_death_signal = SIGKILL;
    if (!command_.binds()) {
      MUSTER_TRY_ASSIGN(mpirun_, start_child(spec, context_));
      return {};
    }
    MUSTER_TRY(replace_file(context_.rankfile_path, command_.rankfile));
    MUSTER_TRY_ASSIGN(mpirun_, start_child(spec, context_, context_.rankfile_path));
    return {};
  }

  std::optional<ExitStatus> try_reap() override {
    const auto reaped = mpirun_.try_reap();
    return reaped ? std::optional(reaped->status) : std::nullopt;
  }

  void kill() override { mpirun_.signal_group(SIGKILL); }

  void hold() override {
    mpirun_.signal(SIGSTOP);
    held_ = true;
  }

  void resume() override {
    if (held_) mpirun_.signal(SIGCONT);
    held_ = false;
  }

  bool owns(pid_t pid) const override { return pid == mpirun_.pid(); }
  bool agent_has_ended(int) const override { return false; }

  bool awaits_agent(const std::set<pid_t>& arrived) const override {
    // Stopped, or waiting for a disk: it may fork more when it goes on.
    const char state = process_state(mpirun_.pid());
    if (state == 'T' || state == 't' || state == 'D') return true;
    for (const pid_t pid : children_of(mpirun_.pid())) {
      if (!arrived.contains(pid) && !has_ended(pid)) return true;
    }
    return false;
  }

  std::optional<ExitStatus> agent_end(int) override { return std::nullopt; }

 private:
  plan::MpirunCommand command_;
  StarterContext context_;
  Child mpirun_;
  bool held_ = false;
};

class DirectStarter : public RankStarter {
 public:
  DirectStarter(const std::vector<int>& ranks, StarterContext context)
      : context_(std::move(context)) {
    for (const int rank : ranks) agents_[rank];
  }

  Result<> start() override {
    for (auto& [rank, agent] : agents_) {
      ChildSpec spec;
      spec.program = context_.agent_executable;
      spec.argv = {"muster-agent"};
      context_.environment[protocol::kAgentRankVariable] = std::to_string(rank);
      spec.environment = to_block(context_.environment);
      // No parent-death signal here: the agent asks for a catchable one itself.
      MUSTER_TRY_ASSIGN(agent.child, start_child(spec, context_));
    }
    return {};
  }

  std::optional<ExitStatus> try_reap() override {
    if (ended_) return std::nullopt;
    ended_ = true;
    for (auto& [rank, agent] : agents_) {
      agent.try_reap();
      if (agent.child) ended_ = false;
    }
    return ended_ ? std::optional(ExitStatus::exited(0)) : std::nullopt;
  }

  void kill() override {
    for (const auto& [rank, agent] : agents_) agent.child.signal_group(SIGKILL);
  }

  bool owns(pid_t pid) const override {
    for (const auto& [rank, agent] : agents_) {
      if (agent.child.pid() == pid) return true;
    }
    return false;
  }

  bool awaits_agent(const std::set<pid_t>& arrived) const override {
    for (const auto& [rank, agent] : agents_) {
      if (agent.child && !arrived.contains(agent.child.pid())) return true;
    }
    return false;
  }

  bool agent_has_ended(int rank) const override { return agents_.at(rank).end.has_value(); }

  std::optional<ExitStatus> agent_end(int rank) override {
    Agent& agent = agents_.at(rank);
    // Its socket closes a moment before it can be reaped.
    const auto deadline = std::chrono::steady_clock::now() + kAgentEndWait;
    while (agent.child && std::chrono::steady_clock::now() < deadline) {
      agent.try_reap();
      if (agent.child) muster::detail::pause_briefly();
    }
    return agent.end;
  }

 private:
  struct Agent {
    Child child;
    std::optional<ExitStatus> end;

    void try_reap() {
      if (const auto reaped = child.try_reap()) end = reaped->status;
    }
  };

  std::map<int, Agent> agents_;  // by rank
  StarterContext context_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<RankStarter> make_mpirun_starter(const plan::MpirunCommand& command,
                                                 StarterContext context) {
  return std::make_unique<MpirunStarter>(command, std::move(context));
}

std::unique_ptr<RankStarter> make_direct_starter(const std::vector<int>& ranks,
                                                 StarterContext context) {
  return std::make_unique<DirectStarter>(ranks, std::move(context));
}

}  // namespace muster::exec
