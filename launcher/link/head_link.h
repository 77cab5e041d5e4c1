// The head's port: a thread that listens, takes the members' control connections and what they
// replicate into the run directory, and lets the Head state machine decide about the rest.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collector/replication/address.h"
#include "collector/replication/run_token.h"
#include "collector/store/output_names.h"
#include "launcher/cluster/head.h"
#include "launcher/cluster/interfaces.h"
#include "muster/result.h"

namespace muster::link {

struct HeadLinkSettings {
  replication::Address listen;                         // port 0: a free one; host "*": all
  std::shared_ptr<const replication::TokenKeys> keys;  // null with insecure
  bool insecure = false;
  int node_count = 2;
  protocol::Join own;
  cluster::HeadLimits limits = {};
  // Where members read the address; written whole, mode 0600, and removed by the destructor.
  std::optional<std::filesystem::path> address_file = {};
  std::function<void(const std::string& line)> log = [](const std::string&) {};
};

class HeadLink {
 public:
  // Errors: kUsage: no token and not insecure; kPermission, kInternal: the port; kRunDirectory: the
  // address file.
  static Result<std::unique_ptr<HeadLink>> open(HeadLinkSettings settings);
  ~HeadLink();

  replication::Address address() const;  // with the port that it got
  // Members know the run by this id from now on, and what they replicate goes below this directory,
  // which is the run directory of this very launcher.  Until then what they send waits.  Once.
  // Errors: kRunDirectory.
  Result<> store_into(const std::filesystem::path& run_directory, const std::string& run_id);
  // For whoever stores this launcher's own output folders into that directory
  // (outputs::PublisherOptions): a member's file of the same name makes way for it.
  std::shared_ptr<store::OutputNames> output_names() const;
  // Readable when next() has something.
  int fd() const;
  // Verdicts and messages: every HeadAction but kSend and kClose.
  std::optional<cluster::HeadAction> next();
  void send(int node_rank, protocol::HeadMessage message);
  void send_to_all(protocol::HeadMessage message);
  std::vector<cluster::NodeSeen> nodes() const;  // by node rank, with clocks, of now
  // How far that node's clock is ahead of this one's; nullopt: not known yet.
  std::optional<cluster::ClockEstimate> clock_of(int node_rank) const;
  // Node ranks that are not here: that have not joined, or were lost since.
  std::vector<int> missing() const;
  // Everything of that node (or of all members, -1) is stored here whole and durable: its sender
  // has our word for every end, and it has said MemberMessage.replicated.  fd() becomes readable
  // when that changes.
  bool replicated(int node_rank) const;
  // Nothing more is waited for of what that node stores: its streams end where they are, each with
  // a gap of unknown length, and nothing more is taken of it.  For a node that is lost, once what
  // had come of it is read, and for one that takes too long.  Waits for that.  Errors:
  // kRunDirectory.
  Result<> give_up(int node_rank);
  // Once all are here: each node dials the next one's addresses, and the last one node 0's; all at
  // once, `limit` bounds the whole of it.  This node's part is done here, too.  fd() becomes
  // readable when proofs() has the answers, by node rank; nullopt: not yet.
  void prove_ring(std::chrono::milliseconds limit);
  std::optional<std::vector<cluster::Proof>> proofs() const;
  // Says RunEnd with this code to everybody and goes when they have it, or after `patience`.
  void end(const protocol::RunEnd& end, std::chrono::milliseconds patience);

 private:
  struct State;
  explicit HeadLink(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace muster::link
