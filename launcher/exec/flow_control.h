// Lets whoever watches over the room of a run's streams make its ranks wait: while it does, their
// pipes are not read, so a rank that writes more than its pipe holds stands still in write().
#pragma once

#include <atomic>
#include <memory>

#include "base/fd.h"
#include "muster/result.h"

namespace muster::exec {

class FlowControl {
 public:
  static Result<std::unique_ptr<FlowControl>> create();

  // From any thread; the run's thread carries it out soon.
  void pause() { set(true); }
  void resume() { set(false); }

  // For the run's thread: readable when the wish has changed.
  int fd() const { return changed_.get(); }
  bool take();  // whether ranks wait from now on

 private:
  explicit FlowControl(Fd changed) : changed_(std::move(changed)) {}
  void set(bool paused);

  Fd changed_;
  std::atomic<bool> paused_{false};
};

}  // namespace muster::exec
