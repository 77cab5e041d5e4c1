// What is said about a run: a trace for people, and the first property that did not hold.
#pragma once

#include <cstdio>
#include <optional>
#include <string>

#include "collector/replication/sender.h"

namespace muster::simulation {

class Judge {
 public:
  explicit Judge(bool traces) : traces_(traces) {}

  replication::Time now{};

  bool traces() const { return traces_; }
  // `what` is made only when somebody reads it.
  template <typename What>
  void trace(const What& what) const {
    if (traces_) std::printf("%9.3f  %s\n", seconds(), what().c_str());
  }
  void violated(const std::string& property) {
    if (violation_) return;
    violation_ = property;
    trace([&] { return "VIOLATED: " + property; });
  }
  const std::optional<std::string>& violation() const { return violation_; }
  double seconds() const { return std::chrono::duration<double>(now.time_since_epoch()).count(); }

 private:
  bool traces_;
  std::optional<std::string> violation_;
};

}  // namespace muster::simulation
