// Each node dials the next one's addresses, the last one node 0's: which of them can be reached,
// with as many connections as there are nodes.  Without effects; docs/cluster.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cluster.pb.h"
#include "launcher/cluster/interfaces.h"

namespace muster::link {

class ProbeRing {
 public:
  // `joins`: by node rank, two or more.  `random_nonce`: 16 bytes that nobody guesses.
  // `limit_ms`: for the whole ring.
  ProbeRing(const std::vector<const protocol::Join*>& joins, std::int64_t limit_ms,
            const std::function<std::string()>& random_nonce);

  using Messages = std::vector<std::pair<int, protocol::HeadMessage>>;  // to which node
  Messages start() const;
  // Of node `from`; anything but answers of probes that are waited for changes nothing.
  Messages take(int from, const protocol::MemberMessage& message);
  // The time is over, or that node is gone: what was not answered was not reached.
  void give_up(const std::string& why);
  void give_up_node(int node_rank, const std::string& why);

  bool is_done() const { return waiting_ == 0; }
  // By node rank of who dialled; addresses in the order of its Join.
  std::vector<cluster::Proof> proofs() const;

  static constexpr std::size_t kMostAddresses = 32;  // of a node

 private:
  struct Node {
    std::vector<std::string> addresses;  // that the one before it dials
    std::string nonce;
    bool listens = false;
    std::vector<cluster::Proof> proofs;  // of its addresses
    std::vector<bool> answered;
    std::size_t waiting = 0;
  };

  int before(int node_rank) const;
  void answer(Node& node, std::size_t address, bool reached, const std::string& problem);
  void give_up_rest(Node& node, const std::string& why);

  std::vector<Node> nodes_;
  std::int64_t limit_ms_;
  std::size_t waiting_ = 0;
};

}  // namespace muster::link
