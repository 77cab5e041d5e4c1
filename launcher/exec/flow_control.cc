#include "launcher/exec/flow_control.h"

#include <sys/eventfd.h>

namespace muster::exec {

Result<std::unique_ptr<FlowControl>> FlowControl::create() {
  Fd changed(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!changed) {
    return Failure(system_error(ErrorCode::kResources, "making an event descriptor"));
  }
  return std::unique_ptr<FlowControl>(new FlowControl(std::move(changed)));
}

void FlowControl::set(bool paused) {
  if (paused_.exchange(paused) != paused) ::eventfd_write(changed_.get(), 1);
}

bool FlowControl::take() {
  eventfd_t ignored = 0;
  static_cast<void>(::eventfd_read(changed_.get(), &ignored));
  return paused_;
}

}  // namespace muster::exec
