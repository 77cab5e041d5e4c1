// One simulated run: nodes, a collector, perhaps a relay between them, and everything that goes
// wrong.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/node.h"
#include "tests/simulation/relay_feed.h"

namespace muster::simulation {

struct Outcome {
  std::optional<std::string> violation;
  double seconds = 0;       // virtual
  std::uint64_t bytes = 0;  // that the nodes produced
  std::uint64_t resent = 0;
  std::uint64_t faults = 0;
  std::size_t most_memory = 0;  // frames that an end held
};

class World {
 public:
  World(std::uint64_t seed, bool traces);

  Outcome run();

 private:
  void step();
  void break_something();
  void heal();
  void connect(const std::shared_ptr<Client>& client, Site& site);
  void connect(const std::shared_ptr<Client>& client, Site& site, replication::LinkRole role);
  void move_bytes(Site& site, Connection& connection);
  void close_client_side(Connection& connection, const char* why);
  void close_site_side(Site& site, Connection& connection);
  void run_site(Site& site);
  void run_client(const std::shared_ptr<Client>& client, Site& site);
  void stop_site(Site& site, bool machine);
  void follow_relay();
  void check_memory();
  bool is_over() const;
  void check_end();
  void check_stream(const Node& node, const LocalStream& stream);
  Connection* any_connection(Site*& site);

  Judge judge_;
  Random random_;
  std::vector<std::unique_ptr<Site>> sites_;  // [0] is the collector; [1] the relay
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::shared_ptr<RelayFeed>> feeds_;
  std::uint64_t feeds_start_ = 0;  // of the relay's process that they belong to
  replication::Time faults_end_{};
  Outcome outcome_;
};

}  // namespace muster::simulation
