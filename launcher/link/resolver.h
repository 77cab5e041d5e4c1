// Looks up a name on a thread of its own: a resolver that has no answer takes its time, and neither
// the loop nor whoever ends it waits for that.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "muster/result.h"

namespace muster::link {

class Resolver {
 public:
  // Addresses in text, in the order in which they are to be tried; IPv6 ones with their scope.
  using Done = std::function<void(Result<std::vector<std::string>>)>;

  // Calls `done` once, from the loop, which may destroy this object; destroying it gives up.
  Resolver(EventLoop& loop, const std::string& host, Done done);

 private:
  struct Search;
  std::shared_ptr<Search> search_;
  EventLoop::Watch found_;
};

}  // namespace muster::link
