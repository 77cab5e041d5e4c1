// The head's port: a thread that listens, takes the members' control connections and what they
// replicate into the run directory, and lets the Head state machine decide about the rest.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collector/replication/address.h"
#include "collector/replication/run_token.h"
#include "launcher/cluster/head.h"
#include "muster/result.h"

namespace muster::link {

struct HeadLinkSettings {
  replication::Address listen;                         // port 0: a free one
  std::shared_ptr<const replication::TokenKeys> keys;  // null with insecure
  bool insecure = false;
  int node_count = 2;
  protocol::Join own;
  cluster::HeadLimits limits = {};
  std::function<void(const std::string& line)> log = [](const std::string&) {};
};

class HeadLink {
 public:
  static Result<std::unique_ptr<HeadLink>> open(HeadLinkSettings settings);
  ~HeadLink();

  replication::Address address() const;  // with the port that it got
  // Members know the run by this id from now on, and what they replicate goes below this directory,
  // which is the run directory of this very launcher.
  Result<> store_into(const std::filesystem::path& run_directory, const std::string& run_id);
  // Readable when take() has something.
  int fd() const;
  // Verdicts and messages: every HeadAction but kSend and kClose.
  std::vector<cluster::HeadAction> take();
  void send(int node_rank, protocol::HeadMessage message);
  void send_to_all(protocol::HeadMessage message);
  std::vector<cluster::NodeSeen> nodes() const;  // by node rank, with clocks, of now
  // Streams of that node (or of all, -1) that are not stored here whole; true: none.
  bool replicated(int node_rank) const;
  // Says RunEnd with this code to everybody and goes when they have it, or after `patience`.
  void end(const protocol::RunEnd& end, std::chrono::milliseconds patience);

 private:
  struct State;
  explicit HeadLink(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace muster::link
