// mpirun's daemons on this node: children of this launcher, in the place of what ssh would start.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/process.h"
#include "muster/result.h"

namespace muster::exec {

class Daemons {
 public:
  // Told of the end of each that was started, from reap().
  using Ended = std::function<void(int id, int wait_status)>;
  explicit Daemons(Ended ended) : ended_(std::move(ended)) {}
  ~Daemons() { end_all(); }

  // `command`: a line for /bin/sh that has been checked to be a daemon's and nothing else.
  // It dies with this process.  Errors: kInternal, kResources: it was not started.
  Result<> start(int id, const std::string& command,
                 const std::map<std::string, std::string>& environment, int log_fd);
  void reap();
  bool owns(pid_t pid) const;
  void end(int id);
  // All of them are gone then.
  void end_all();

 private:
  Ended ended_;
  std::map<int, Child> running_;
};

}  // namespace muster::exec
