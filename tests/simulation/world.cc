#include "tests/simulation/world.h"

#include <algorithm>

namespace muster::simulation {
namespace {

using replication::LinkRole;
using replication::Time;
using std::chrono::milliseconds;
using std::chrono::seconds;

// After the last fault everything is delivered within this.
constexpr seconds kLiveness{60};
// Frames that one end of a connection may hold.
constexpr std::size_t kMemoryOfALink = 512U << 10;

std::size_t index_of(LinkRole role) {
  return role == LinkRole::kBulk ? 1 : 0;
}

}  // namespace

World::World(std::uint64_t seed, bool traces) : judge_(traces), random_(seed) {
  judge_.now = Time(seconds(1));
  replication::ReceiverLimits limits;
  limits.memory = random_.between(40'000, 2'000'000);
  limits.streams = static_cast<std::uint32_t>(random_.between(4, 64));
  limits.payload = static_cast<std::uint32_t>(random_.between(1'024, 65'536));
  limits.sync_interval = milliseconds(random_.between(100, 2'000));
  const auto oracle = [this](
                          const std::string& writer,
                          const replication::StreamDescription& stream) -> std::optional<Payload> {
    for (const auto& node : nodes_) {
      if (node->name != writer) continue;
      const LocalStream* found = node->find(stream);
      if (found != nullptr) return found->payload;
    }
    return std::nullopt;
  };
  const bool has_relay = random_.once_in(3);
  sites_.push_back(
      std::make_unique<Site>("collector", judge_, random_, oracle, limits, 1'000'000'000));
  if (has_relay) {
    sites_.push_back(std::make_unique<Site>("relay", judge_, random_, oracle, limits, 0));
  }
  const std::uint64_t count = random_.between(2, 6);
  for (std::uint64_t i = 0; i < count; ++i) {
    nodes_.push_back(
        std::make_unique<Node>("node-" + std::to_string(i), *sites_.back(), judge_, random_));
  }
  faults_end_ = judge_.now + seconds(random_.between(10, 50));
}

Outcome World::run() {
  bool healed = false;
  while (!judge_.violation()) {
    step();
    if (judge_.now < faults_end_) {
      if (random_.once_in(25)) break_something();
      continue;
    }
    if (!healed) heal();
    healed = true;
    if (is_over()) break;
    if (judge_.now > faults_end_ + kLiveness) {
      std::string missing;
      for (const auto& node : nodes_) {
        missing += " " + node->name + " has " +
                   std::to_string(node->current().sender->unsent_bytes()) + " bytes unsent" +
                   (node->current().sender->all_complete() ? "," : " and open ends,");
        const Process& process = node->current();
        for (std::size_t i = 0; i < process.streams.size(); ++i) {
          const auto number = static_cast<replication::StreamNumber>(i);
          const replication::Watermarks marks = process.sender->watermarks(number);
          if (marks.complete) continue;
          missing += process.streams[i] < node->streams.size()
                         ? " " + node->streams[process.streams[i]].description.path
                         : " a tombstone";
          missing += " (" + std::to_string(marks.received) + ")";
        }
      }
      for (const auto& feed : feeds_) {
        for (const auto& [key, known] : feed->known) {
          if (!feed->sender->watermarks(known.number).complete) {
            missing += " (" + key + " #" + std::to_string(known.number) + " at " +
                       std::to_string(feed->sender->watermarks(known.number).received) + ")";
          }
        }
        missing += " " + feed->name + " " + std::to_string(feed->sender->unsent_bytes()) + ",";
      }
      judge_.violated("not everything is there 60 seconds after the last fault:" + missing);
    }
  }
  if (!judge_.violation()) check_end();
  for (const auto& node : nodes_) {
    for (const LocalStream& stream : node->streams) outcome_.bytes += stream.size;
    for (const auto& process : node->processes) {
      outcome_.resent += process->sender->totals().bytes_resent;
    }
  }
  outcome_.violation = judge_.violation();
  outcome_.seconds = judge_.seconds();
  return outcome_;
}

void World::step() {
  judge_.now += milliseconds(random_.between(1, 40));
  const bool finishing = judge_.now >= faults_end_;
  for (const auto& site : sites_) {
    if (!site->receiver && judge_.now >= site->up_at) site->start();
  }
  for (const auto& node : nodes_) {
    node->produce(finishing);
    node->keep_bound();
    for (const auto& process : node->processes) {
      if (process->alive) connect(process, node->site);
    }
  }
  if (sites_.size() > 1) follow_relay();
  for (const auto& site : sites_) {
    for (const auto& connection : site->connections) move_bytes(*site, *connection);
    run_site(*site);
  }
  for (const auto& node : nodes_) {
    for (const auto& process : node->processes) run_client(process, node->site);
    node->take_events();
  }
  for (const auto& feed : feeds_) {
    run_client(feed, *sites_[0]);
    for (const replication::SenderEvent& event : feed->sender->take_events()) {
      if (event.kind == replication::SenderEvent::Kind::kRefused) {
        judge_.violated(feed->name + ": a stream is refused: " + event.text);
      }
    }
  }
  for (const auto& site : sites_) {
    std::erase_if(site->connections, [](const std::unique_ptr<Connection>& connection) {
      return !connection->client_open && !connection->site_open;
    });
  }
  check_memory();
}

// ---- connections ----

void World::connect(const std::shared_ptr<Client>& client, Site& site) {
  if (client->sender->superseded()) return;
  connect(client, site, LinkRole::kLive);
  if (client->has_bulk) connect(client, site, LinkRole::kBulk);
}

void World::connect(const std::shared_ptr<Client>& client, Site& site, LinkRole role) {
  const std::size_t index = index_of(role);
  if (client->connections[index] > 0 || judge_.now < client->retry_at[index]) return;
  client->retry_at[index] = judge_.now + milliseconds(random_.between(100, 3'000));
  if (!site.receiver || (judge_.now < faults_end_ && random_.once_in(10))) return;
  auto connection = std::make_unique<Connection>();
  connection->client = client;
  connection->role = role;
  connection->site_start = site.starts;
  for (Pipe* pipe : {&connection->up, &connection->down}) {
    pipe->delay = milliseconds(random_.between(0, random_.once_in(5) ? 200 : 5));
    pipe->rate = random_.between(2'000, 200'000);
  }
  client->connections[index] = 1;
  client->sender->link_up(role, judge_.now);
  connection->link = site.receiver->link_up(client->sender->writer(), role, judge_.now);
  judge_.trace([&] {
    return client->name + ": connects to " + site.name + ", link " +
           std::to_string(connection->link) + (role == LinkRole::kBulk ? " (bulk)" : "");
  });
  site.connections.push_back(std::move(connection));
}

void World::close_client_side(Connection& connection, const char* why) {
  if (!connection.client_open) return;
  connection.client_open = false;
  Client& client = *connection.client;
  const std::size_t index = index_of(connection.role);
  client.connections[index] = 0;
  judge_.trace(
      [&] { return client.name + ": link " + std::to_string(connection.link) + " " + why; });
  if (client.alive) client.sender->link_down(connection.role, judge_.now);
}

void World::close_site_side(Site& site, Connection& connection) {
  if (!connection.site_open) return;
  connection.site_open = false;
  if (site.receiver && connection.site_start == site.starts) {
    site.receiver->link_down(connection.link, judge_.now);
  }
}

void World::move_bytes(Site& site, Connection& connection) {
  const Time now = judge_.now;
  Client& client = *connection.client;
  if (!client.alive && connection.client_open)
    close_client_side(connection, "dies with its process");
  const bool site_runs = site.receiver && connection.site_start == site.starts;

  // Up.
  std::size_t budget =
      now < site.slow_until ? std::min<std::size_t>(connection.up.rate, 300) : connection.up.rate;
  while (connection.site_open && site_runs && !connection.site_closes_at) {
    const std::string piece = connection.up.arrive(now, budget, random_);
    if (piece.empty()) break;
    const Result<> taken = site.receiver->receive(connection.link, piece, now);
    if (!taken) {
      judge_.trace([&] { return site.name + ": " + taken.error().message; });
      if (connection.up.flip_once_in == 0) {
        judge_.violated(site.name + " says of a good peer: " + taken.error().message);
      }
      connection.site_closes_at = now + milliseconds(50);
    }
  }
  if (connection.site_open && site_runs) {
    connection.down.send(site.receiver->take_output(connection.link, connection.down.room(), now),
                         now);
  }

  // Down.
  budget = connection.down.rate;
  while (connection.client_open) {
    const std::string piece = connection.down.arrive(now, budget, random_);
    if (piece.empty()) break;
    const Result<> taken = client.sender->receive(connection.role, piece, now);
    if (!taken) {
      judge_.trace([&] { return client.name + ": " + taken.error().message; });
      if (connection.down.flip_once_in == 0) {
        judge_.violated(client.name + " says of a good peer: " + taken.error().message);
      }
      close_client_side(connection, "is closed for what came");
      close_site_side(site, connection);
      return;
    }
  }
  if (connection.client_open) {
    const std::size_t room = connection.up.room();
    if (room > 0) {
      connection.up.send(client.sender->take_output(connection.role, room, now), now);
    }
  }
  if (connection.site_closes_at && *connection.site_closes_at <= now) {
    close_site_side(site, connection);
    close_client_side(connection, "is closed by the other side");
  }
}

void World::run_site(Site& site) {
  if (!site.receiver) return;
  site.disk.step();
  const auto deadline = site.receiver->deadline();
  if (deadline && *deadline <= judge_.now) site.receiver->tick(judge_.now);
  for (const auto& [link, why] : site.receiver->take_closed()) {
    for (const auto& connection : site.connections) {
      if (connection->link != link || connection->site_start != site.starts) continue;
      judge_.trace([&] {
        return site.name + ": closes link " + std::to_string(connection->link) + ": " + why;
      });
      if (!connection->site_closes_at) connection->site_closes_at = judge_.now + milliseconds(50);
    }
  }
}

void World::run_client(const std::shared_ptr<Client>& client, Site& site) {
  if (!client->alive) return;
  const auto deadline = client->sender->deadline();
  if (deadline && *deadline <= judge_.now) client->sender->tick(judge_.now);
  for (const replication::ClosedLink& closed : client->sender->take_closed()) {
    const std::size_t index = index_of(closed.role);
    client->retry_at[index] = std::max(client->retry_at[index], judge_.now + closed.retry_after);
    for (const auto& connection : site.connections) {
      if (connection->client != client || connection->role != closed.role ||
          !connection->client_open) {
        continue;
      }
      close_client_side(*connection, closed.reason.c_str());
      if (!random_.once_in(3)) close_site_side(site, *connection);
    }
  }
}

// ---- the relay ----

void World::follow_relay() {
  Site& relay = *sites_[1];
  if (!relay.receiver || feeds_start_ != relay.starts) {
    for (const auto& feed : feeds_) feed->alive = false;
    for (const auto& connection : sites_[0]->connections) {
      if (!connection->client->alive) close_client_side(*connection, "dies with the relay");
    }
    feeds_.clear();
    feeds_start_ = relay.starts;
  }
  if (!relay.receiver) return;
  for (const auto& [name, writer] : relay.disk.writers()) {
    auto it = std::find_if(feeds_.begin(), feeds_.end(), [&](const auto& feed) {
      return feed->alive && feed->writer_name == writer.name;
    });
    if (it != feeds_.end() && (*it)->sender->writer().epoch < writer.epoch) {
      // A newer start of it came: upstream hears of that, too.
      (*it)->alive = false;
      for (const auto& connection : sites_[0]->connections) {
        if (!connection->client->alive) close_client_side(*connection, "has a newer writer");
      }
      feeds_.erase(it);
      it = feeds_.end();
    }
    if (it == feeds_.end()) {
      feeds_.push_back(std::make_shared<RelayFeed>(relay, writer, judge_));
    }
  }
  for (const auto& feed : feeds_) {
    feed->follow();
    connect(feed, *sites_[0]);
  }
}

// ---- faults ----

void World::stop_site(Site& site, bool machine) {
  if (!site.receiver) return;
  judge_.trace([&] { return site.name + (machine ? ": loses power" : ": is killed"); });
  site.receiver.reset();
  if (machine) {
    site.disk.machine_ends();
  } else {
    site.disk.process_ends();
  }
  site.up_at = judge_.now + milliseconds(random_.between(50, 8'000));
  for (const auto& connection : site.connections) {
    connection->site_open = false;
    // A machine that is gone sends no reset.
    if (!machine || random_.once_in(3)) close_client_side(*connection, "is reset");
  }
}

Connection* World::any_connection(Site*& site) {
  site = sites_[random_.below(sites_.size())].get();
  if (site->connections.empty()) return nullptr;
  return site->connections[random_.below(site->connections.size())].get();
}

void World::break_something() {
  ++outcome_.faults;
  Site& any_site = *sites_[random_.below(sites_.size())];
  Node& any_node = *nodes_[random_.below(nodes_.size())];
  const Time later = judge_.now + milliseconds(random_.between(100, 30'000));
  Site* site = nullptr;
  const std::uint64_t what = random_.below(16);
  if (what == 0) return stop_site(any_site, random_.once_in(2));
  if (what == 1 || what == 2) {
    const bool leaves_old = what == 2;
    if (!leaves_old) {
      judge_.trace([&] { return any_node.current().name + ": is killed"; });
    }
    any_node.start(leaves_old);
    if (random_.once_in(10)) any_node.give_up_rest();
    return;
  }
  if (what == 3) {
    any_site.disk.full = !any_site.disk.full;
    judge_.trace(
        [&] { return any_site.name + (any_site.disk.full ? ": disk full" : ": disk has room"); });
    return;
  }
  if (what == 4) {
    any_site.disk.append_fails_once_in = random_.once_in(2) ? 0 : random_.between(5, 100);
    any_site.disk.sync_fails_once_in = random_.once_in(2) ? 0 : random_.between(2, 10);
    any_site.disk.rots_once_in = random_.once_in(2) ? 0 : random_.between(1, 10);
    judge_.trace([&] { return any_site.name + ": disk errors come and go"; });
    return;
  }
  if (what == 5) {
    any_site.slow_until = later;
    judge_.trace([&] { return any_site.name + ": is slow"; });
    return;
  }
  Connection* connection = any_connection(site);
  if (connection == nullptr) return;
  const auto tell = [&](const char* how) {
    judge_.trace([&] {
      return connection->client->name + ": link " + std::to_string(connection->link) + " " + how;
    });
  };
  switch (what) {
    case 6:
    case 7:
      tell("is cut");
      close_site_side(*site, *connection);
      close_client_side(*connection, "is cut");
      break;
    case 8: close_client_side(*connection, "ends on this side only"); break;
    case 9:
      tell("ends on the other side only");
      close_site_side(*site, *connection);
      break;
    case 10:
      tell("is a blackhole");
      connection->up.stopped_until = connection->down.stopped_until = later;
      break;
    case 11:
      tell("delivers nothing up");
      connection->up.stopped_until = later;
      break;
    case 12:
      tell("delivers nothing down");
      connection->down.stopped_until = later;
      break;
    case 13:
      tell("delivers single bytes");
      connection->up.one_byte = connection->down.one_byte = true;
      connection->up.rate = connection->down.rate = 500;
      break;
    case 14:
      tell("flips bits on the way up");
      connection->up.flip_once_in = random_.between(2, 50);
      break;
    default:
      tell("flips bits on the way down");
      connection->down.flip_once_in = random_.between(2, 50);
  }
}

void World::heal() {
  judge_.trace([] { return std::string("---- no more faults"); });
  for (const auto& site : sites_) {
    site->disk.full = false;
    site->disk.append_fails_once_in = 0;
    site->disk.sync_fails_once_in = 0;
    site->disk.rots_once_in = 0;
    site->slow_until = {};
    site->up_at = std::min(site->up_at, judge_.now + seconds(1));
    for (const auto& connection : site->connections) {
      for (Pipe* pipe : {&connection->up, &connection->down}) {
        pipe->stopped_until = {};
        pipe->one_byte = false;
        pipe->rate = 200'000;
        // The flag stays where a wrong bit may still be on its way.
        if (pipe->flip_once_in != 0) pipe->flip_once_in = ~std::uint64_t{0};
      }
    }
  }
}

// ---- properties ----

void World::check_memory() {
  for (const auto& site : sites_) {
    if (!site->receiver) continue;
    const std::size_t held = site->receiver->buffered_bytes();
    outcome_.most_memory = std::max(outcome_.most_memory, held);
    if (held > kMemoryOfALink * (1 + site->connections.size())) {
      judge_.violated(site->name + " holds " + std::to_string(held) + " bytes of frames");
    }
    if (site->disk.open_handles() > site->limits.streams * (1 + site->connections.size())) {
      judge_.violated(site->name + " has " + std::to_string(site->disk.open_handles()) +
                      " streams open");
    }
  }
  for (const auto& node : nodes_) {
    for (const auto& process : node->processes) {
      if (process->sender->buffered_bytes() > 2 * kMemoryOfALink) {
        judge_.violated(process->name + " holds too many bytes of frames");
      }
    }
    std::uint64_t files = 0;
    for (const LocalStream& stream : node->streams) {
      if (stream.description.whole) files += stream.size;
    }
    if (node->bound != 0 && node->most_kept > node->bound + files) {
      judge_.violated(node->name + " keeps more than its bound");
    }
  }
}

bool World::is_over() const {
  for (const auto& node : nodes_) {
    if (!node->is_produced() || !node->current().sender->all_complete()) return false;
  }
  if (sites_.size() == 1) return true;
  // What the relay has, the collector has.
  for (const auto& node : nodes_) {
    for (const LocalStream& stream : node->streams) {
      if (!stream.end->commit) continue;
      const StoredFile* stored = sites_[0]->disk.find(node->name, stream.description);
      if (stored == nullptr || !stored->end_durable) return false;
    }
  }
  return true;
}

void World::check_end() {
  for (const auto& node : nodes_) {
    for (const LocalStream& stream : node->streams) {
      if (stream.end->commit) check_stream(*node, stream);
    }
    for (const std::string& path : node->deleted()) {
      if (!node->site.disk.has_tombstone(node->name, path)) {
        judge_.violated(node->name + " " + path + " is not marked as gone");
      }
    }
  }
  // One that was left behind has no connection any more that works.
  for (const auto& connection : sites_.back()->connections) {
    const auto* process = dynamic_cast<const Process*>(connection->client.get());
    if (process == nullptr || !connection->client_open || !connection->site_open ||
        connection->site_closes_at) {
      continue;
    }
    const auto newest = sites_.back()->disk.writers().find(process->node->name);
    if (newest != sites_.back()->disk.writers().end() && process->epoch < newest->second.epoch) {
      judge_.violated(process->name + " has a connection, and a newer writer is there");
    }
  }
}

// Conservation: stored and missing bytes are all that there were, every stored one is right, and
// what is missing is missing at the source.
void World::check_stream(const Node& node, const LocalStream& stream) {
  const std::string what = node.name + " " + stream.description.path;
  const StoredFile* stored = sites_[0]->disk.find(node.name, stream.description);
  if (stored == nullptr || !stored->end) return judge_.violated(what + " has no end");
  if (stored->bytes.size() != stream.size) {
    return judge_.violated(what + " has " + std::to_string(stored->bytes.size()) + " bytes of " +
                           std::to_string(stream.size));
  }
  std::vector<bool> missing(stored->bytes.size(), false);
  std::uint64_t before = 0;
  for (const replication::StreamGap& gap : stored->gaps) {
    if (gap.from < before) judge_.violated(what + " has gaps that overlap");
    before = gap.to.value_or(gap.from);
    for (std::uint64_t i = gap.from; gap.to && i < *gap.to; ++i) {
      missing.at(static_cast<std::size_t>(i)) = true;
    }
  }
  for (std::uint64_t i = 0; i < stored->bytes.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (!missing[at] && stored->bytes[at] != stream.payload.at(i)) {
      return judge_.violated(what + ": byte " + std::to_string(i) + " is wrong");
    }
    if (!missing[at]) continue;
    const bool was_given_up =
        std::any_of(stream.gaps.begin(), stream.gaps.end(), [&](const replication::StreamGap& gap) {
          return i >= gap.from && (!gap.to || i < *gap.to);
        });
    if (!was_given_up) {
      return judge_.violated(what + ": byte " + std::to_string(i) + " is missing without a reason");
    }
  }
}

}  // namespace muster::simulation
