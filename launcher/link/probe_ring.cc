#include "launcher/link/probe_ring.h"

#include <algorithm>

namespace muster::link {
namespace {

// What another node could reach: loopback and link-local addresses only where a connection of this
// very run came from there.
std::vector<std::string> candidates(const protocol::Join& join) {
  std::vector<std::string> found;
  const auto add = [&](const std::string& address) {
    if (address.empty() || found.size() >= ProbeRing::kMostAddresses) return;
    if (std::find(found.begin(), found.end(), address) == found.end()) found.push_back(address);
  };
  for (const protocol::InterfaceAddress& each : join.addresses()) {
    if (each.is_up() && !each.is_loopback() && !each.is_link_local()) add(each.address());
  }
  add(join.own_address());
  return found;
}

}  // namespace

ProbeRing::ProbeRing(const std::vector<const protocol::Join*>& joins, std::int64_t limit_ms,
                     const std::function<std::string()>& random_nonce)
    : limit_ms_(limit_ms) {
  for (const protocol::Join* join : joins) {
    Node node;
    node.addresses = candidates(*join);
    node.nonce = random_nonce();
    node.waiting = node.addresses.size();
    node.answered.resize(node.addresses.size());
    waiting_ += node.waiting;
    nodes_.push_back(std::move(node));
  }
  for (std::size_t to = 0; to < nodes_.size(); ++to) {
    for (const std::string& address : nodes_[to].addresses) {
      nodes_[to].proofs.push_back({.from = before(static_cast<int>(to)),
                                   .to = static_cast<int>(to),
                                   .address = address,
                                   .reached = false,
                                   .problem = "it was not tried"});
    }
  }
}

int ProbeRing::before(int node_rank) const {
  const int count = static_cast<int>(nodes_.size());
  return (node_rank + count - 1) % count;
}

ProbeRing::Messages ProbeRing::start() const {
  Messages messages;
  for (std::size_t to = 0; to < nodes_.size(); ++to) {
    if (nodes_[to].waiting == 0) continue;
    protocol::HeadMessage message;
    message.mutable_listen()->set_id(static_cast<std::uint32_t>(to));
    message.mutable_listen()->set_for_ms(limit_ms_);
    message.mutable_listen()->set_nonce(nodes_[to].nonce);
    messages.emplace_back(static_cast<int>(to), std::move(message));
  }
  return messages;
}

ProbeRing::Messages ProbeRing::take(int from, const protocol::MemberMessage& message) {
  const bool listening = message.has_listening();
  if (!listening && !message.has_probed()) return {};
  const std::uint32_t id = listening ? message.listening().id() : message.probed().id();
  if (id >= nodes_.size()) return {};
  const int to = static_cast<int>(id);
  Node& node = nodes_[id];
  if (listening) {
    if (from != to || std::exchange(node.listens, true)) return {};
    if (message.listening().port() == 0 || message.listening().port() > 65535) {
      give_up_rest(node, "the node cannot listen there");
      return {};
    }
    protocol::HeadMessage dial;
    dial.mutable_dial()->set_id(id);
    for (const std::string& address : node.addresses) dial.mutable_dial()->add_addresses(address);
    dial.mutable_dial()->set_port(message.listening().port());
    // A silent address must be told of while the ring still waits.
    dial.mutable_dial()->set_limit_ms(limit_ms_ * 3 / 4);
    dial.mutable_dial()->set_nonce(node.nonce);
    Messages messages;
    messages.emplace_back(before(to), std::move(dial));
    return messages;
  }
  if (from != before(to)) return {};
  const auto found =
      std::find(node.addresses.begin(), node.addresses.end(), message.probed().address());
  if (found == node.addresses.end()) return {};
  answer(node, static_cast<std::size_t>(found - node.addresses.begin()),
         message.probed().problem().empty(), message.probed().problem().substr(0, 200));
  return {};
}

void ProbeRing::answer(Node& node, std::size_t address, bool reached, const std::string& problem) {
  if (node.answered[address]) return;
  node.answered[address] = true;
  node.proofs[address].reached = reached;
  node.proofs[address].problem = problem;
  --node.waiting;
  --waiting_;
}

void ProbeRing::give_up_rest(Node& node, const std::string& why) {
  for (std::size_t each = 0; each < node.addresses.size(); ++each) answer(node, each, false, why);
}

void ProbeRing::give_up(const std::string& why) {
  for (Node& node : nodes_) give_up_rest(node, why);
}

void ProbeRing::give_up_node(int node_rank, const std::string& why) {
  const auto count = static_cast<int>(nodes_.size());
  if (node_rank < 0 || node_rank >= count) return;
  give_up_rest(nodes_[static_cast<std::size_t>(node_rank)], why);
  give_up_rest(nodes_[static_cast<std::size_t>((node_rank + 1) % count)], why);
}

std::vector<cluster::Proof> ProbeRing::proofs() const {
  std::vector<cluster::Proof> all;
  for (std::size_t from = 0; from < nodes_.size(); ++from) {
    const Node& node = nodes_[(from + 1) % nodes_.size()];
    all.insert(all.end(), node.proofs.begin(), node.proofs.end());
  }
  return all;
}

}  // namespace muster::link
