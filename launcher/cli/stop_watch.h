// Who asks a run to stop before its ranks are there: signals, and `muster cancel`.
#pragma once

#include "base/preparation.h"
#include "base/signals.h"
#include "launcher/exec/run_control.h"

namespace muster::cli {

class StopWatch : public StopSource {
 public:
  // Both outlive it.
  StopWatch(const SignalFd& signals, exec::RunControl& control)
      : signals_(signals), control_(control) {}

  std::vector<int> fds() const override { return {signals_.get(), control_.stop_fd()}; }
  const std::optional<StopAsked>& poll() override;
  const std::optional<StopAsked>& asked() const { return asked_; }

 private:
  const SignalFd& signals_;
  exec::RunControl& control_;
  std::optional<StopAsked> asked_;
};

}  // namespace muster::cli
