// A whole cluster in one process and in simulated time: cluster_simulator NODES [SEED]
//
// Join, ring of probes, plan, start, two minutes of heartbeats with faults, and the end of a run of
// NODES × 8 ranks, through the machines that a head runs: cluster::Head, link::ProbeRing,
// choose_network, make_plan, exec::Supervision.  Members are simulated; messages between them and
// the head take time, are lost and sent again, and some launchers start late.  docs/scale.md says
// what is left out.
//
// Prints a JSON object: seconds of CPU that the head's logic took, memory, verdicts.  Ends with 70
// where one of them is wrong.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "launcher/cluster/facts.h"
#include "launcher/cluster/head.h"
#include "launcher/cluster/interfaces.h"
#include "launcher/exec/supervision.h"
#include "launcher/link/probe_ring.h"
#include "launcher/plan/make_plan.h"
#include "launcher/topology/inventory_json.h"
#include "many_nodes.h"

namespace muster {
namespace {

using namespace std::chrono_literals;
using cluster::HeadAction;
using cluster::SteadyTime;
using What = HeadAction::What;
using Span = std::chrono::nanoseconds;

constexpr std::int64_t kEpoch = 1'700'000'000'000'000'000;
constexpr double kLoss = 0.001;     // of messages; each is sent again
constexpr auto kSentAgain = 200ms;  // TCP's least
constexpr auto kStarters = 2s;      // launchers start within
constexpr double kLate = 0.01;      // but for these
constexpr auto kLateStarters = 20s;
constexpr auto kHeartbeats = 120s;
constexpr int kMostPartsChecked = 64;

[[noreturn]] void wrong(const std::string& what) {
  std::fprintf(stderr, "cluster_simulator: %s\n", what.c_str());
  std::exit(70);
}

void require(bool holds, const std::string& what) {
  if (!holds) wrong(what);
}

double cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// CPU time of what the head does, and of nothing else here.
class HeadTime {
 public:
  template <typename Work>
  auto of(Work work) {
    const double begin = cpu_seconds();
    if constexpr (std::is_void_v<decltype(work())>) {
      work();
      seconds_ += cpu_seconds() - begin;
    } else {
      auto done = work();
      seconds_ += cpu_seconds() - begin;
      return done;
    }
  }
  double take() { return std::exchange(seconds_, 0); }

 private:
  double seconds_ = 0;
};

std::uint64_t peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

protocol::Join join_of(int node, int node_count) {
  protocol::Join join;
  join.set_node_rank(node);
  join.set_node_count(node_count);
  join.set_launcher("launcher-" + std::to_string(node));
  join.set_boot_id("boot-" + std::to_string(node));
  join.set_software("muster 1");
  const topology::NodeInventory inventory = node_number(node);
  join.set_hostname(inventory.hostname);
  join.set_inventory(topology::inventory_line(inventory));
  const auto add = [&](const char* interface, std::string address, unsigned prefix) {
    protocol::InterfaceAddress& added = *join.add_addresses();
    added.set_interface(interface);
    added.set_address(std::move(address));
    added.set_prefix(prefix);
    added.set_is_up(true);
  };
  const auto byte = [](int value) { return static_cast<char>(value & 0xff); };
  const std::string own = {10, byte(node >> 16), byte(node >> 8), byte(node)};
  add("eth0", own, 8);
  add("docker0", {byte(172), 17, 0, 1}, 16);
  join.set_own_address(own);
  join.set_head_address({10, 0, 0, 0});
  const auto fact = [&](const char* name, const std::string& value) {
    protocol::Fact& added = *join.add_facts();
    added.set_name(name);
    added.set_value(value);
  };
  fact(cluster::kConfigFact, "0123456789abcdef");
  fact(cluster::kInterpreterFact, "python3.11");
  fact(cluster::kGpuFact, std::to_string(inventory.gpus.size()));
  join.set_has_source(true);
  return join;
}

config::RunConfig config_of(int node_count) {
  config::RunConfig config;
  config.run.value = config::Program{{"python3", "train.py"}};
  config.node_count.value = node_count;
  config.process_count_per_node.value = kGpus;
  config.distributed_backend.value = config::Backend::kDirect;
  return config;
}

plan::PlanInputs inputs_of() {
  plan::PlanInputs inputs;
  inputs.agent_executable = "/usr/bin/muster-agent";
  inputs.current_directory = "/srv/project";
  return inputs;
}

class Simulation {
 public:
  Simulation(int node_count, std::uint64_t seed)
      : node_count_(node_count),
        random_(seed),
        head_(node_count, join_of(0, node_count), cluster::HeadLimits{}, SteadyTime{}),
        frozen_until_(static_cast<std::size_t>(node_count)),
        gone_(static_cast<std::size_t>(node_count)) {
    tick_at(cluster::Head::kTick);
  }

  void run() {
    join();
    plan();
    start();
    beat();
    end();
    std::printf("\"peak_bytes\": %llu}\n", static_cast<unsigned long long>(peak_memory()));
  }

 private:
  struct Event {
    Span at;
    std::uint64_t number;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return std::tie(other.at, other.number) < std::tie(at, number);
    }
  };

  double between(double least, double most) {
    return std::uniform_real_distribution<double>(least, most)(random_);
  }
  bool one_in(double share) { return between(0, 1) < share; }
  SteadyTime steady() const { return SteadyTime(now_); }
  std::int64_t wall() const { return kEpoch + now_.count(); }

  void after(Span span, std::function<void()> what) {
    events_.push({now_ + span, ++event_number_, std::move(what)});
  }
  // Until nothing is left but ticks, or `most` of simulated time is over.
  template <typename Done>
  void go_on(Span most, Done done) {
    const Span until = now_ + most;
    while (!done() && !events_.empty() && events_.top().at <= until) {
      const Event next = events_.top();
      events_.pop();
      now_ = next.at;
      next.what();
    }
    if (!done()) now_ = until;
  }

  Span delay() {
    auto takes = Span(static_cast<std::int64_t>(5e4 * std::pow(100, between(0, 1))));
    while (one_in(kLoss)) takes += kSentAgain;
    return takes;
  }

  void tick_at(Span span) {
    after(span, [this] {
      take(time_.of([&] { return head_.tick(steady(), wall()); }));
      tick_at(cluster::Head::kTick);
    });
  }

  void say(int node, protocol::MemberMessage message) {
    after(delay(), [this, node, message = std::move(message)] {
      if (gone_[index(node)]) return;
      take(time_.of([&] { return head_.received(link(node), message, steady(), wall()); }));
    });
  }

  static std::size_t index(int node) { return static_cast<std::size_t>(node); }
  static cluster::LinkId link(int node) { return static_cast<cluster::LinkId>(node); }

  // What the head decided.
  void take(cluster::HeadActions actions) {
    for (HeadAction& action : actions) {
      switch (action.what) {
        case What::kSend: deliver(action.node_rank, std::move(action.message)); break;
        case What::kAllHere: all_here_at_ = now_; break;
        case What::kSuspect: suspects_.insert(action.node_rank); break;
        case What::kWakes: woken_.insert(action.node_rank); break;
        case What::kLost: lost_[action.node_rank] = now_; break;
        case What::kMissing:
        case What::kRefused: wrong(action.text);
        case What::kMessage:
          if (action.received.has_rank()) take_news(action.received.rank());
          if (action.received.has_probed() || action.received.has_listening()) {
            dial(time_.of([&] { return ring_->take(action.node_rank, action.received); }));
          }
          break;
        default: break;
      }
    }
  }

  // At the member: it answers when it is not frozen.
  void deliver(int node, protocol::HeadMessage message) {
    ++messages_;
    after(delay(), [this, node, message = std::move(message)] {
      if (gone_[index(node)]) return;
      const Span until = frozen_until_[index(node)];
      if (until <= now_) return answer(node, message);
      if (until != Span::max())
        after(until - now_, [this, node, message] { answer(node, message); });
    });
  }

  void answer(int node, const protocol::HeadMessage& message) {
    protocol::MemberMessage reply;
    if (message.has_beat()) {
      protocol::BeatReply& beat = *reply.mutable_beat();
      beat.set_number(message.beat().number());
      beat.set_head_sent(message.beat().sent());
      beat.set_received(wall());
      beat.set_sent(wall());
    } else if (message.has_listen()) {
      reply.mutable_listening()->set_id(message.listen().id());
      reply.mutable_listening()->set_port(40000);
    } else if (message.has_dial()) {
      for (const std::string& address : message.dial().addresses()) {
        protocol::MemberMessage probed;
        probed.mutable_probed()->set_id(message.dial().id());
        probed.mutable_probed()->set_address(address);
        if (address[0] != 10) probed.mutable_probed()->set_problem("another node answers there");
        say(node, probed);
      }
      return;
    } else {
      return;
    }
    say(node, std::move(reply));
  }

  // --- join

  void join() {
    Span last{0};
    for (int node = 1; node < node_count_; ++node) {
      const Span starts(static_cast<std::int64_t>(between(
          0, static_cast<double>(Span(one_in(kLate) ? kLateStarters : kStarters).count()))));
      last = std::max(last, starts);
      // The Join is made when it is sent: what is in memory is the head's.
      after(starts + delay() * 3, [this, node] {
        protocol::MemberMessage message;
        *message.mutable_join() = join_of(node, node_count_);
        take(time_.of([&] { return head_.connected(link(node), "10.0.0.1:4", steady()); }));
        const auto bytes = message.SerializeAsString();
        take(time_.of([&] {
          protocol::MemberMessage parsed;
          parsed.ParseFromString(bytes);
          return head_.received(link(node), parsed, steady(), wall());
        }));
      });
    }
    go_on(600s, [&] { return head_.all_here(); });
    require(head_.all_here(), "not all have joined");
    const double cpu = time_.take();
    join_cpu_ = cpu;
    std::printf(
        "{\"nodes\": %d, \"ranks\": %d, \"join_cpu_s\": %.3f, \"joined_after_last_s\": %.3f, ",
        node_count_, node_count_ * kGpus, cpu,
        std::chrono::duration<double>(all_here_at_ - last).count());
  }

  void dial(const link::ProbeRing::Messages& messages) {
    for (const auto& [node, message] : messages) {
      if (node > 0) {
        deliver(node, message);
      } else if (message.has_listen()) {
        protocol::MemberMessage reply;
        reply.mutable_listening()->set_id(message.listen().id());
        reply.mutable_listening()->set_port(40000);
        dial(time_.of([&] { return ring_->take(0, reply); }));
      } else {
        for (const std::string& address : message.dial().addresses()) {
          protocol::MemberMessage probed;
          probed.mutable_probed()->set_id(message.dial().id());
          probed.mutable_probed()->set_address(address);
          if (address[0] != 10) probed.mutable_probed()->set_problem("another node answers there");
          dial(time_.of([&] { return ring_->take(0, probed); }));
        }
      }
    }
  }

  // --- plan

  void plan() {
    std::vector<const protocol::Join*> joins;
    for (int node = 0; node < node_count_; ++node) joins.push_back(&head_.node(node)->join);
    const Span begin = now_;
    dial(time_.of([&] {
      ring_.emplace(joins, 5000, [] { return std::string(16, 'n'); });
      return ring_->start();
    }));
    go_on(10s, [&] { return ring_->is_done(); });
    require(ring_->is_done(), "the ring is not done");
    const double ring = time_.take();
    const double ring_took = std::chrono::duration<double>(now_ - begin).count();

    plan::PlanInputs inputs = inputs_of();
    time_.of([&] {
      const cluster::FactTable table = cluster::compare_facts(joins);
      require(!table.fatal, "the nodes differ: " + table.text);
    });
    const double facts = time_.take();
    time_.of([&] {
      auto network = cluster::choose_network(joins, ring_->proofs(), {});
      if (!network) wrong(network.error().message);
      inputs.network = std::move(*network);
    });
    const double network = time_.take();
    time_.of([&] {
      for (const protocol::Join* join : joins) {
        auto inventory = topology::inventory_from_json(join->inventory());
        if (!inventory) wrong(inventory.error().message);
        inputs.nodes.push_back(std::move(*inventory));
      }
    });
    const double inventories = time_.take();
    time_.of([&] {
      auto made = plan::make_plan(config_of(node_count_), inputs);
      if (!made) wrong(made.error().message);
      plan_.emplace(std::move(*made));
    });
    const double planned = time_.take();
    std::vector<std::string> digests;
    std::vector<plan::NodePart> parts;
    std::size_t part_names = 0;
    time_.of([&] {
      for (int node = 1; node < node_count_; ++node) {
        const plan::NodePart part = plan::part_of(*plan_, node);
        part_names += part.node_addresses.size();
        digests.push_back(plan::placement_digest(*plan_, node));
      }
    });
    const double told = time_.take();
    const double all = ring + facts + network + inventories + planned + told;
    std::printf(
        "\"ring_s\": %.3f, \"ring_cpu_s\": %.3f, \"facts_cpu_s\": %.3f, \"network_cpu_s\": %.3f, "
        "\"inventories_cpu_s\": %.3f, \"plan_cpu_s\": %.3f, \"parts_cpu_s\": %.3f, "
        "\"join_and_plan_cpu_s\": %.3f, ",
        ring_took, ring, facts, network, inventories, planned, told, join_cpu_ + all);
    check_parts(inputs, digests);
  }

  // Some members' own plans; in a cluster all do that at once.
  void check_parts(const plan::PlanInputs& of_head, const std::vector<std::string>& digests) {
    const int step = std::max(1, (node_count_ - 1) / kMostPartsChecked);
    double most = 0;
    for (int node = 1; node < node_count_; node += step) {
      plan::PlanInputs inputs = inputs_of();
      inputs.nodes = {of_head.nodes[index(node)]};
      inputs.part = plan::part_of(*plan_, node);
      const double begin = cpu_seconds();
      const auto own = plan::make_plan(config_of(node_count_), inputs);
      if (!own) wrong(own.error().message);
      require(plan::placement_digest(*own, node) == digests[index(node - 1)],
              "node " + std::to_string(node) + " plans otherwise than the head");
      most = std::max(most, cpu_seconds() - begin);
    }
    std::printf("\"member_plan_cpu_s\": %.4f, ", most);
  }

  // --- start, heartbeats, end

  void news(int rank, const std::function<void(protocol::RankNews&)>& fill) {
    protocol::MemberMessage message;
    message.mutable_rank()->set_rank(rank);
    fill(*message.mutable_rank());
    const int node = plan_->rank(rank).node_rank;
    if (node > 0) return say(node, std::move(message));
    after(delay(), [this, message] { take_news(message.rank()); });
  }

  void take_news(const protocol::RankNews& news) {
    time_.of([&] {
      const int rank = news.rank();
      plan::RankOutcome outcome = supervision_->rank(rank);
      if (news.has_connected()) {
        supervision_->rank_assigned(rank);
      } else if (news.said().has_started()) {
        act(supervision_->rank_started(outcome, steady()));
        running_ = supervision_->running_count();
      } else if (news.said().has_ended()) {
        outcome.end = plan::RankEnd::kExited;
        outcome.status = ExitStatus::exited(0);
        act(supervision_->rank_ended(outcome, false, steady()));
        running_ = supervision_->running_count();
      } else if (news.said().has_quiet()) {
        act(supervision_->rank_quiet(rank, steady()));
      }
    });
  }

  void act(const exec::Actions& actions) {
    for (const exec::Action& action : actions) {
      if (std::holds_alternative<exec::LeaveAgents>(action)) left_ = true;
      require(!std::holds_alternative<exec::SignalRanks>(action) &&
                  !std::holds_alternative<exec::KillRanks>(action),
              "a run without a failure is stopped");
    }
  }

  void start() {
    const int world = node_count_ * kGpus;
    supervision_.emplace(world, plan_->limits, steady());
    take(time_.of([&] {
      protocol::HeadMessage go;
      go.mutable_go();
      return head_.send_to_all(go);
    }));
    const Span begin = now_;
    for (int rank = 0; rank < world; ++rank) {
      const auto python = std::chrono::milliseconds(static_cast<int>(between(20, 200)));
      after(python, [this, rank] {
        news(rank, [](protocol::RankNews& said) { said.set_connected(true); });
      });
      after(python + 10ms + 5 * kSentAgain, [this, rank] {
        news(rank, [](protocol::RankNews& said) { said.mutable_said()->mutable_started(); });
      });
    }
    go_on(60s, [&] { return running_ == world; });
    require(running_ == world, "not all ranks have started");
    std::printf("\"start_s\": %.3f, \"start_cpu_s\": %.3f, ",
                std::chrono::duration<double>(now_ - begin).count(), time_.take());
  }

  // Some nodes are frozen for 10 s and for 30 s, one goes with a reset, one stays silent.
  void beat() {
    const int faults = std::max(1, node_count_ / 100);
    std::set<int> frozen;
    for (int i = 0; i < faults && 4 + i < node_count_; ++i) {
      const int node = 4 + i * ((node_count_ - 4) / faults);
      frozen_until_[index(node)] = now_ + (i % 2 == 0 ? 10s : 30s);
      frozen.insert(node);
    }
    const int silent = 1;
    const int reset = 2;
    frozen_until_[index(silent)] = Span::max();
    const Span begin = now_;
    after(5s, [this] {
      gone_[index(reset)] = true;
      take(time_.of([&] { return head_.closed(link(reset), "connection reset", steady()); }));
    });
    const auto before = messages_;
    time_.take();
    go_on(kHeartbeats, [] { return false; });
    const double seconds = std::chrono::duration<double>(kHeartbeats).count();
    std::printf("\"beats_per_s\": %.0f, \"beat_cpu_share\": %.5f, ",
                static_cast<double>(messages_ - before) / seconds, time_.take() / seconds);
    require(lost_.size() == 2 && lost_.contains(silent) && lost_.contains(reset),
            std::to_string(lost_.size()) + " nodes were lost, not 2");
    require(lost_[reset] == begin + 5s, "a reset is a loss at once");
    const double after_s = std::chrono::duration<double>(lost_[silent] - begin).count();
    require(after_s >= 34 && after_s < 37,
            "a silent node is lost after " + std::to_string(after_s));
    frozen.insert(silent);
    require(suspects_ == frozen, std::to_string(suspects_.size()) + " nodes were suspect, not " +
                                     std::to_string(frozen.size()));
    require(woken_.size() + 1 == frozen.size(), "a node that was frozen did not wake");
    std::printf("\"suspects\": %zu, \"false_suspects\": 0, \"silent_lost_after_s\": %.2f, ",
                suspects_.size(), after_s);
  }

  // The lost nodes' ranks end too, as if they had not been lost: what a success costs.
  void end() {
    const int world = node_count_ * kGpus;
    for (int rank = 0; rank < world; ++rank) {
      const bool lost = lost_.contains(plan_->rank(rank).node_rank);
      for (const bool quiet : {false, true}) {
        protocol::RankNews said;
        said.set_rank(rank);
        if (quiet)
          said.mutable_said()->mutable_quiet();
        else
          said.mutable_said()->mutable_ended();
        if (lost) {
          after(quiet ? 5s : 1ms, [this, said] { take_news(said); });
        } else {
          after(quiet ? 5s : 1ms,
                [this, said] { news(said.rank(), [&](protocol::RankNews& out) { out = said; }); });
        }
      }
    }
    go_on(60s, [&] { return left_; });
    require(left_, "the run does not end");
    std::printf("\"end_cpu_s\": %.3f, ", time_.take());
  }

  const int node_count_;
  std::mt19937_64 random_;
  Span now_{0};
  std::uint64_t event_number_ = 0;
  std::priority_queue<Event> events_;
  HeadTime time_;
  cluster::Head head_;
  std::optional<link::ProbeRing> ring_;
  std::optional<plan::LaunchPlan> plan_;
  std::optional<exec::Supervision> supervision_;
  std::vector<Span> frozen_until_;
  std::vector<bool> gone_;
  double join_cpu_ = 0;
  Span all_here_at_{0};
  std::uint64_t messages_ = 0;
  std::set<int> suspects_;
  std::set<int> woken_;
  std::map<int, Span> lost_;
  int running_ = 0;
  bool left_ = false;
};

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  const int nodes = argc > 1 ? std::atoi(argv[1]) : 0;
  if (nodes < 8 || nodes > 100'000) {
    std::fprintf(stderr, "usage: cluster_simulator NODES [SEED], 8 nodes or more\n");
    return 64;
  }
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  muster::Simulation(nodes, seed).run();
  return 0;
}
