// What launchers of a run say, through the head's state machine and the ring of probes; and what a
// file with the head's address says.
//
// An input is a list of steps: a byte that says which, a byte for which link or how long, and for
// a message its length (16 bits, little-endian) and its bytes.  Any bytes are some list.

#include <algorithm>
#include <set>

#include "launcher/cluster/head.h"
#include "launcher/link/address_file.h"
#include "launcher/link/probe_ring.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

using namespace muster;
using cluster::HeadAction;
using fuzz::require;
using What = HeadAction::What;

constexpr int kNodes = 4;
constexpr std::size_t kSteps = 200;
constexpr std::int64_t kEpoch = 1'700'000'000'000'000'000;

protocol::Join own() {
  protocol::Join join;
  join.set_node_count(kNodes);
  join.set_hostname("head");
  join.set_software("muster 1");
  join.set_launcher("head");
  join.set_own_address("\x0a\1\1\1");
  return join;
}

class Machine {
 public:
  Machine() : head_(kNodes, own(), {}, now_) {}

  void connect() {
    ++last_;
    open_.insert(last_);
    judge(head_.connected(last_, "10.0.0.9:1", now_));
  }
  void close(cluster::LinkId link) {
    // An owner says once that a connection has ended, also when it was the head's wish.
    if (!known_closed_.insert(link).second) return;
    open_.erase(link);
    judge(head_.closed(link, "it ended", now_));
  }
  void say(cluster::LinkId link, const protocol::MemberMessage& message) {
    if (!open_.contains(link)) return;
    judge(head_.received(link, message, now_, wall()));
  }
  void tick(int steps) {
    for (int i = 0; i < steps; ++i) {
      now_ += cluster::Head::kTick;
      judge(head_.tick(now_, wall()));
    }
  }
  void leave() { head_.expect_leaving(); }
  void send() {
    protocol::HeadMessage message;
    message.mutable_go();
    judge(head_.send_to_all(message));
  }
  cluster::LinkId link_of(std::uint8_t byte) const { return last_ == 0 ? 0 : 1 + byte % last_; }
  std::vector<protocol::Join> joins() const {
    std::vector<protocol::Join> all;
    for (int rank = 0; rank < kNodes; ++rank) {
      const cluster::NodeSeen* node = head_.node(rank);
      all.push_back(node == nullptr ? protocol::Join() : node->join);
    }
    return all;
  }

 private:
  std::int64_t wall() const {
    return kEpoch +
           std::chrono::duration_cast<std::chrono::nanoseconds>(now_.time_since_epoch()).count();
  }

  void judge(const cluster::HeadActions& actions) {
    for (const HeadAction& action : actions) {
      require(std::none_of(action.text.begin(), action.text.end(),
                           [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; }),
              "what people read has no control characters");
      require(action.text.size() < 2000, "what people read is short");
      switch (action.what) {
        case What::kSend: require(open_.contains(action.link), "it speaks to who is here"); break;
        case What::kClose:
          require(open_.erase(action.link) == 1, "it closes a connection once");
          break;
        case What::kJoined:
          require(action.node_rank > 0 && action.node_rank < kNodes, "a node of the run joins");
          require(here_.insert(action.node_rank).second || !all_here_,
                  "a node joins again only while others are awaited");
          break;
        case What::kAllHere:
          require(!all_here_, "all are here once");
          require(here_.size() == kNodes - 1, "all are here when all have joined");
          all_here_ = true;
          break;
        case What::kLost:
          require(all_here_ && lost_.insert(action.node_rank).second,
                  "a node is lost once, and when the run has begun");
          break;
        case What::kMessage:
          require(here_.contains(action.node_rank), "a message is of a node that is here");
          require(!lost_.contains(action.node_rank), "nothing comes of a node that is lost");
          break;
        default: break;
      }
    }
    require(head_.all_here() == all_here_, "it says what it knows");
    for (int rank = 1; rank < kNodes; ++rank) {
      const cluster::NodeSeen* node = head_.node(rank);
      if (node == nullptr || !node->clock) continue;
      require(node->clock->bound.count() >= 0, "a clock's error has a bound");
    }
  }

  cluster::SteadyTime now_{};
  cluster::Head head_;
  cluster::LinkId last_ = 0;
  std::set<cluster::LinkId> open_;
  std::set<cluster::LinkId> known_closed_;
  std::set<int> here_;
  std::set<int> lost_;
  bool all_here_ = false;
};

class Ring {
 public:
  explicit Ring(const Machine& machine) : joins_(machine.joins()) {}

  void take(int from, const protocol::MemberMessage& message) {
    for (const auto& [node, said] : ring_.take(from, message)) {
      require(node >= 0 && node < kNodes, "a node of the run dials");
      require(said.dial().addresses_size() <= static_cast<int>(link::ProbeRing::kMostAddresses),
              "few addresses are dialled");
    }
  }
  void end() {
    ring_.give_up("it is over");
    require(ring_.is_done(), "a ring that is given up is done");
    for (const auto& proof : ring_.proofs()) {
      require(proof.reached == proof.problem.empty(), "what was not reached says why");
    }
  }

 private:
  static std::vector<const protocol::Join*> pointers(const std::vector<protocol::Join>& joins) {
    std::vector<const protocol::Join*> all;
    for (const protocol::Join& join : joins) all.push_back(&join);
    return all;
  }

  std::vector<protocol::Join> joins_;
  link::ProbeRing ring_{pointers(joins_), 1000, [] { return std::string(16, 'n'); }};
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = fuzz::text_of(data, size);
  if (input.starts_with("muster head")) {
    const auto place = link::parse_head_place(input);
    if (!place) return 0;
    const auto again = link::parse_head_place(link::to_text(*place));
    require(again && again->nonce == place->nonce && again->hosts == place->hosts &&
                again->port == place->port && again->job_id == place->job_id,
            "an address file is written as it was read");
    return 0;
  }
  Machine machine;
  std::optional<Ring> ring;
  for (std::size_t at = 0, steps = 0; at + 2 <= size && steps < kSteps; ++steps) {
    const std::uint8_t step = data[at];
    const std::uint8_t which = data[at + 1];
    at += 2;
    protocol::MemberMessage message;
    if (step % 8 < 3) {  // a message, which most are
      if (at + 2 > size) break;
      const std::size_t length = std::min<std::size_t>(data[at] | data[at + 1] << 8, size - at - 2);
      at += 2;
      if (!message.ParseFromArray(data + at, static_cast<int>(length))) message.Clear();
      at += length;
    }
    switch (step % 8) {
      case 0:
      case 1: machine.say(machine.link_of(which), message); break;
      case 2:
        if (ring) ring->take(which % (kNodes + 1), message);
        break;
      case 3: machine.connect(); break;
      case 4: machine.close(machine.link_of(which)); break;
      case 5: machine.tick(which); break;
      case 6: which % 16 == 0 ? machine.leave() : machine.send(); break;
      case 7: ring.emplace(machine); break;
    }
  }
  if (ring) ring->end();
  return 0;
}
