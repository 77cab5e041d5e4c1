// `muster run --detach`: the launcher goes on without the terminal that it was started from.
//
// It becomes a process of its own before anything else happens: parent-death signals belong to
// threads, so whatever the run forks must be forked by the process that stays.  Until all ranks
// have started, its errors still go to the terminal, and the foreground waits.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::cli {

// The background's side: its word to the foreground.
class Detachment {
 public:
  Detachment(Detachment&&) = default;
  Detachment& operator=(Detachment&&) = default;

  // All ranks have started: lets go of the terminal and of everything else that was inherited, and
  // of the foreground.  What is printed from now on ends in `log`.
  void complete(const std::string& run_id, const std::string& run_directory,
                const std::filesystem::path& log);

 private:
  friend struct Detached;
  Detachment(Fd word, std::vector<int> inherited)
      : word_(std::move(word)), inherited_(std::move(inherited)) {}

  Fd word_;
  std::vector<int> inherited_;
};

struct Detached {
  std::optional<Detachment> background;  // set in the process that goes on
  int exit_code = 0;                     // else, of the foreground

  // Returns twice: in the background at once, in the foreground when the background has completed
  // (0; the run id is on stdout) or ended before that (its exit code).  `shows_runs_dir`: whether
  // `muster attach RUN` needs the run's path, not only its id.
  static Result<Detached> fork(bool shows_runs_dir);
};

}  // namespace muster::cli
