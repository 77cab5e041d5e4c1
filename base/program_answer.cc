#include "base/program_answer.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process_limits.h"

namespace muster {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostBytes = 65'536;

}  // namespace

std::string ProgramAnswer::describe(std::chrono::seconds patience) const {
  return status ? status->describe()
                : "did not answer in " + std::to_string(patience.count()) + " s";
}

Result<ProgramAnswer> ask_program(ChildSpec spec, std::chrono::seconds patience) {
  MUSTER_TRY_ASSIGN(Pipe pipe, make_pipe());
  MUSTER_TRY_ASSIGN(const Fd nothing, open_file("/dev/null", O_RDONLY));
  spec.stdin_fd = nothing.get();
  spec.stdout_fd = pipe.write_end.get();
  spec.stderr_fd = pipe.write_end.get();
  spec.parent_death_signal = SIGKILL;
  auto child = Child::start(spec);
  if (!child) {
    const bool no_process = child.error().stage == StartFailure::Stage::kFork;
    return fail(ErrorCode::kResources, child.error().describe(spec),
                no_process ? kProcessLimitHint : "");
  }
  pipe.write_end.reset();

  ProgramAnswer answer;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::array<char, 4096> buffer;
  while (answer.output.size() < kMostBytes) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd readable{pipe.read_end.get(), POLLIN, 0};
    if (left <= 0ms || ::poll(&readable, 1, static_cast<int>(left.count())) == 0) return answer;
    const ssize_t got = ::read(pipe.read_end.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    answer.output.append(buffer.data(), static_cast<std::size_t>(got));
  }
  pipe.read_end.reset();  // one that talks on gets SIGPIPE
  while (!answer.status && std::chrono::steady_clock::now() < deadline) {
    if (const auto reaped = child->try_reap()) answer.status = reaped->status;
    if (!answer.status) detail::pause_briefly();
  }
  return answer;
}

}  // namespace muster
