// Programs that a run needs before its ranks or after them: mounts, copies, installers.  They run
// beside each other until all have ended, one has failed, or somebody asks to stop.
//
// On the thread that forks (base/process.h).  Nothing that is started here outlives the call, and
// nothing can keep it from returning: a program that hangs is killed.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/exit_status.h"
#include "base/process.h"
#include "muster/result.h"

namespace muster {

// A wish that the work end.
struct StopAsked {
  int signal_number = 0;  // SIGINT, SIGTERM: what the exit code is made of
  std::string by;         // "SIGTERM", "muster cancel (user anna)"
};

// Whoever may ask for a stop; the real one reads signals and the control socket.
class StopSource {
 public:
  virtual ~StopSource() = default;
  virtual std::vector<int> fds() const = 0;  // one is readable when there may be news
  // The first wish; the same one ever after.  Reads what the descriptors have.
  virtual const std::optional<StopAsked>& poll() = 0;
};

struct HelperTask {
  std::string name;                      // what it does, for messages: "mounting input digits"
  ChildSpec spec;                        // its descriptors are set here; stdin is /dev/null
  std::filesystem::path log;             // its words are appended; "" drops them
  ErrorCode failure = ErrorCode::kData;  // the class of its failure
  std::optional<std::chrono::milliseconds> deadline = {};  // from its start
  // Gets each line of its stdout, which is then not logged.
  std::function<void(std::string_view)> on_line = {};
  // Called about twice a second while it runs; an Error ends it as its failure (a stall, say).
  std::function<Result<>()> check = {};
  std::string hint = {};  // of the error when it fails
};

class Preparation {
 public:
  using Clock = std::chrono::steady_clock;

  // `stops` outlives it.
  explicit Preparation(StopSource& stops) : stops_(stops) {}

  // Runs all of them.  The first failure ends the others (SIGTERM, 2 s later SIGKILL) and is
  // returned: "NAME on HOST …: exited with 1", with the last lines of its log.
  // Errors: the task's own code; kStopped when somebody asked to stop.
  Result<> run(std::vector<HelperTask> tasks);

  // Waits until `ready` says true, looking every `interval`; false when `deadline` has passed.
  // Errors: what `ready` returns; kStopped.
  Result<bool> wait_until(const std::function<Result<bool>()>& ready, Clock::time_point deadline,
                          std::chrono::milliseconds interval = std::chrono::milliseconds(20));

  // An Error of kStopped once somebody has asked to stop.
  Result<> check_stop();

 private:
  StopSource& stops_;
};

// The last lines of a file that programs wrote to, without control characters; few and short.
std::vector<std::string> last_log_lines(const std::filesystem::path& log, std::uintmax_t from = 0,
                                        std::size_t most = 5);

}  // namespace muster
