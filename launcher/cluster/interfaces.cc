// An address is used when it is up, no other machine has the same one, and the node before it in
// the ring of nodes has reached it: docker0's, a dead interface's and an unroutable one's are not.
// Of what is left, a network that all nodes are in is taken, before one that the launchers' own
// connections did not use; IPv4 before IPv6, because Open MPI's lists know IPv4 alone.
#include "launcher/cluster/interfaces.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "base/ip_network.h"
#include "base/text.h"
#include "launcher/cluster/facts.h"

namespace muster::cluster {
namespace {

// One of the user's words.
struct Wanted {
  std::string interface;  // or
  std::optional<IpNetwork> network;

  bool fits(const std::string& address, const std::string& name) const {
    return network ? network->has(address) : name == interface;
  }
};

Result<std::vector<Wanted>> parse_wanted(const std::vector<std::string>& words) {
  std::vector<Wanted> all;
  for (const std::string& word : words) {
    std::optional<IpNetwork> network = parse_ip_network(word);
    if (!network && (word.empty() || word.find_first_of("/ :") != word.npos)) {
      return fail(ErrorCode::kConfig,
                  "network.interfaces has \"" + without_controls(word) +
                      "\", which is neither a network nor an interface",
                  "name networks as 10.0.0.0/24, and interfaces as ip link shows them");
    }
    all.push_back({network ? "" : word, network});
  }
  return all;
}

constexpr const char* kLoopback = "it is loopback";
constexpr const char* kLinkLocal = "it is link-local";

struct Candidate {
  std::string address;
  std::string interface;
  unsigned prefix = 0;
  unsigned index = 0;
  bool is_own = false;  // its launcher's connection, or those to the head, went there
  bool is_loopback = false;
  std::string why_not = {};  // "": it can be used

  bool is_usable(std::size_t bytes) const { return why_not.empty() && address.size() == bytes; }
  IpNetwork network() const { return ip_network_of(address, prefix); }
  std::string text() const { return ip_text(address) + " (" + interface + ")"; }
};

class Choice {
 public:
  Choice(const std::vector<const protocol::Join*>& joins, const std::vector<Proof>& proofs,
         std::vector<Wanted> wanted)
      : joins_(joins), wanted_(std::move(wanted)) {
    for (const auto* join : joins_) ++hostnames_[join->hostname()];
    for (const Proof& proof : proofs) {
      Seen& seen = seen_[{proof.to, proof.address}];
      if (proof.reached) {
        seen.reached = true;
      } else if (seen.problem.empty()) {
        seen.problem = name_of(proof.from) + " did not reach it: " +
                       (proof.problem.empty() ? "no answer" : without_controls(proof.problem));
      }
    }
    look_at_hosts();
    for (std::size_t node = 0; node < joins_.size(); ++node) add_candidates(static_cast<int>(node));
  }

  Result<NetworkChoice> made() {
    for (const std::size_t bytes : {std::size_t{4}, std::size_t{16}}) {
      if (std::all_of(nodes_.begin(), nodes_.end(),
                      [&](const auto& node) { return has_usable(node, bytes); })) {
        return choose(bytes);
      }
    }
    return refuse();
  }

 private:
  struct Seen {
    bool reached = false;
    std::string problem;
  };
  using Candidates = std::vector<Candidate>;

  std::string name_of(int node) const {
    if (node < 0 || static_cast<std::size_t>(node) >= joins_.size()) {
      return "node rank " + std::to_string(node);
    }
    const std::string& hostname = joins_[static_cast<std::size_t>(node)]->hostname();
    const std::string name = without_controls(hostname);
    return hostnames_.at(hostname) == 1 ? name : name + " (node rank " + std::to_string(node) + ")";
  }

  void look_at_hosts() {
    std::set<std::string> all;
    for (const auto* join : joins_) {
      // Launchers of one machine and network have all addresses in common, and rightly so.
      const std::string host = host_of(*join);
      all.insert(host);
      for (const auto& each : join->addresses()) hosts_of_[each.address()].insert(host);
      ++dialled_[join->head_address()];
    }
    one_host_ = all.size() == 1;
    shared_host_ = all.size() < joins_.size();
  }

  void add_candidates(int node) {
    const protocol::Join& join = *joins_[static_cast<std::size_t>(node)];
    Candidates& candidates = nodes_.emplace_back();
    for (const auto& each : join.addresses()) {
      if (each.address().size() != 4 && each.address().size() != 16) continue;
      Candidate candidate{each.address(), without_controls(each.interface()), each.prefix(),
                          each.index()};
      candidate.is_loopback = each.is_loopback();
      candidate.is_own =
          node == 0 ? dialled_.contains(each.address()) : each.address() == join.own_address();
      candidate.why_not = why_not(node, each, candidate);
      candidates.push_back(std::move(candidate));
    }
  }

  std::string why_not(int node, const protocol::InterfaceAddress& each,
                      const Candidate& candidate) const {
    if (!each.is_up()) return "its interface is down";
    const bool named = std::any_of(wanted_.begin(), wanted_.end(), [&](const Wanted& wanted) {
      return wanted.fits(candidate.address, candidate.interface);
    });
    if (!named && each.is_link_local()) return kLinkLocal;
    if (!named && each.is_loopback() && !one_host_) return kLoopback;
    if (!wanted_.empty() && !named) return "network.interfaces does not name it";
    const auto hosts = hosts_of_.find(candidate.address);
    if (hosts != hosts_of_.end() && hosts->second.size() > 1 && !each.is_loopback()) {
      return "several nodes have it";
    }
    const auto seen = seen_.find({node, candidate.address});
    if (seen == seen_.end() || seen->second.reached) return "";
    return seen->second.problem;
  }

  static bool has_usable(const Candidates& candidates, std::size_t bytes) {
    return std::any_of(candidates.begin(), candidates.end(),
                       [&](const Candidate& each) { return each.is_usable(bytes); });
  }

  // How many nodes are in each network, and how many of them were met there.
  std::optional<IpNetwork> common_network(std::size_t bytes) const {
    struct Count {
      std::size_t nodes = 0;
      std::size_t own = 0;
      bool loopback = false;
      unsigned index = 0;  // at the first node that has it
    };
    std::map<IpNetwork, Count> counts;
    for (const Candidates& node : nodes_) {
      std::map<IpNetwork, bool> here;  // whether it was met there
      for (const Candidate& each : node) {
        if (!each.is_usable(bytes)) continue;
        bool& own = here[each.network()];
        own = own || each.is_own;
        Count& count = counts[each.network()];
        count.loopback = each.is_loopback;
        if (count.nodes == 0) count.index = each.index;
      }
      for (const auto& [network, own] : here) {
        ++counts[network].nodes;
        counts[network].own += own ? 1 : 0;
      }
    }
    std::optional<IpNetwork> best;
    for (const auto& [network, count] : counts) {
      if (count.nodes < nodes_.size()) continue;
      const auto rank = [&](const IpNetwork& each) {
        const Count& of = counts.at(each);
        return std::tuple(of.loopback, nodes_.size() - of.own, of.index);
      };
      if (!best || rank(network) < rank(*best)) best = network;
    }
    return best;
  }

  const Candidate& best_of(const Candidates& candidates, std::size_t bytes,
                           const std::optional<IpNetwork>& network) const {
    const Candidate* best = nullptr;
    const auto rank = [](const Candidate& each) {
      return std::tuple(each.is_loopback, !each.is_own, each.index, each.address);
    };
    for (const Candidate& each : candidates) {
      if (!each.is_usable(bytes) || (network && each.network() != *network)) continue;
      if (best == nullptr || rank(each) < rank(*best)) best = &each;
    }
    return *best;  // there is one: has_usable()
  }

  NetworkChoice choose(std::size_t bytes) {
    NetworkChoice choice;
    choice.ipv6 = bytes == 16;
    choice.shared_host = shared_host_;
    const std::optional<IpNetwork> common = common_network(bytes);
    std::set<IpNetwork> networks;
    std::map<std::string, std::vector<int>> interfaces;
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      const Candidate& best = best_of(nodes_[node], bytes, common);
      choice.nodes.push_back({ip_text(best.address), best.interface});
      networks.insert(best.network());
      interfaces[best.interface].push_back(static_cast<int>(node));
    }
    for (const IpNetwork& network : networks) choice.cidrs.push_back(network.text());
    explain(choice, interfaces, networks);
    return choice;
  }

  std::string nodes_in_words(const std::vector<int>& nodes) const {
    if (nodes.size() == joins_.size() && nodes.size() > 1) return "all nodes";
    const auto more = static_cast<std::int64_t>(nodes.size()) - 1;
    return name_of(nodes.front()) + (more == 0 ? "" : " and " + counted(more, "other"));
  }

  void explain(NetworkChoice& choice, const std::map<std::string, std::vector<int>>& interfaces,
               const std::set<IpNetwork>& chosen) const {
    constexpr std::size_t kShown = 4;
    std::vector<std::string> names;
    for (const auto& [interface, nodes] : interfaces) {
      names.push_back(interface + " of " + nodes_in_words(nodes));
    }
    std::vector<std::string> cidrs(
        choice.cidrs.begin(),
        choice.cidrs.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, choice.cidrs.size())));
    if (choice.cidrs.size() > kShown) cidrs.emplace_back("…");
    choice.reasons.emplace_back(
        "network " + join(cidrs, ","),
        join(names, ", ") + ": " +
            (wanted_.empty() ? "each address was reached by another node"
                             : "network.interfaces names it, and another node reached it"));
    // What is left out, once for all nodes where it is left out for the same reason.
    std::map<std::pair<std::string, std::string>, std::vector<int>> left_out;
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      for (const Candidate& each : nodes_[node]) {
        if (each.is_loopback || chosen.contains(each.network())) continue;
        const std::string why = each.why_not.empty() ? "another network was taken" : each.why_not;
        if (why == kLinkLocal) continue;
        auto& nodes = left_out[{each.network().text() + " (" + each.interface + ")", why}];
        if (nodes.empty() || nodes.back() != static_cast<int>(node)) {
          nodes.push_back(static_cast<int>(node));
        }
      }
    }
    std::size_t shown = 0;
    for (const auto& [what, nodes] : left_out) {
      if (++shown > kShown) break;
      choice.reasons.emplace_back("not used: " + what.first,
                                  nodes_in_words(nodes) + ": " + what.second);
    }
  }

  // The first node that none can reach, or the two that have no family in common.
  Failure refuse() const {
    const std::string hint =
        "let the nodes reach each other by TCP at any port (docs/cluster.md lists them), or name "
        "the right networks or interfaces in network.interfaces";
    for (std::size_t node = 0; node < nodes_.size(); ++node) {
      if (has_usable(nodes_[node], 4) || has_usable(nodes_[node], 16)) continue;
      std::vector<std::string> tried;
      for (const Candidate& each : nodes_[node]) {
        if (each.why_not == kLoopback || each.why_not == kLinkLocal) continue;
        tried.push_back(each.text() + ": " + each.why_not);
      }
      return fail(ErrorCode::kResources,
                  "no other node can use an address of " + name_of(static_cast<int>(node)) + ": " +
                      (tried.empty() ? "it has none but loopback" : join(tried, "; ")),
                  hint);
    }
    const auto lacks = [&](std::size_t bytes) {
      const auto found = std::find_if(nodes_.begin(), nodes_.end(),
                                      [&](const auto& node) { return !has_usable(node, bytes); });
      return name_of(static_cast<int>(found - nodes_.begin()));
    };
    return fail(ErrorCode::kResources,
                lacks(4) + " can be reached by IPv6 alone, and " + lacks(16) + " by IPv4 alone",
                hint);
  }

  const std::vector<const protocol::Join*>& joins_;
  std::vector<Wanted> wanted_;
  std::map<std::pair<int, std::string>, Seen> seen_;
  std::map<std::string, std::set<std::string>> hosts_of_;  // by address
  std::map<std::string, int> dialled_;                     // addresses of the head
  std::map<std::string, int> hostnames_;
  bool one_host_ = false;
  bool shared_host_ = false;
  std::vector<Candidates> nodes_;  // by node rank
};

}  // namespace

Result<NetworkChoice> choose_network(const std::vector<const protocol::Join*>& joins,
                                     const std::vector<Proof>& proofs,
                                     const std::vector<std::string>& wanted) {
  MUSTER_TRY_ASSIGN(std::vector<Wanted> words, parse_wanted(wanted));
  return Choice(joins, proofs, std::move(words)).made();
}

}  // namespace muster::cluster
