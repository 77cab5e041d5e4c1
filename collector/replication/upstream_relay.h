// A collector that passes on what it stores: a sender for each run of its store, for as long as the
// collector above may lack any of it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/event_loop.h"
#include "collector/replication/store_sender.h"
#include "muster/result.h"

namespace muster::replication {

class UpstreamRelay {
 public:
  using Log = std::function<void(const std::string& line)>;
  // `client`: its writer is filled in for each run.  Works from the loop's first turn on.
  UpstreamRelay(EventLoop& loop, std::filesystem::path store, ClientSettings client, Log log);

 private:
  void look();  // for runs that came, and those that have been passed on
  void add(const std::string& run_id);

  EventLoop& loop_;
  const std::filesystem::path store_;
  const ClientSettings client_;
  const Log log_;
  std::map<std::string, std::unique_ptr<StoreSender>> senders_;
  std::set<std::string> complete_;  // nothing of these is missing above
  std::string trouble_;             // that was told last
  EventLoop::Watch timer_;
};

}  // namespace muster::replication
