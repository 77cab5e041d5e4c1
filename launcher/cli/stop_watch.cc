#include "launcher/cli/stop_watch.h"

#include "base/exit_status.h"

namespace muster::cli {

const std::optional<StopAsked>& StopWatch::poll() {
  while (const auto info = signals_.read()) {
    const int signal_number = static_cast<int>(info->ssi_signo);
    switch (signal_number) {
      case SIGINT:
      case SIGTERM:
      case SIGHUP:
      case SIGQUIT:
        if (!asked_) asked_ = StopAsked{signal_number, signal_name(signal_number)};
        break;
      case SIGTSTP: stop_this_process(); break;  // what is under way goes on meanwhile
      default: break;                            // the ends of children; what ranks would get
    }
  }
  for (const exec::StopRequest& request : control_.take_stop_requests()) {
    if (!asked_) asked_ = StopAsked{SIGTERM, request.by};
  }
  return asked_;
}

}  // namespace muster::cli
