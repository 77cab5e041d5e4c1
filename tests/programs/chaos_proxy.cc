// A network that misbehaves: forwards connections from one address to another and does to them what
// it is told.
//
//   chaos_proxy LISTEN FORWARD [--seed N]      addresses: unix:PATH, tcp:HOST:PORT (IPv4, port 0)
//
// The first line on stdout is the address it listens on.  Then each line on stdin is a command,
// answered by one line: "ok", an answer, or "error: why".  The end of stdin ends the program.
//
//   [up|down] delay MS        each byte arrives that much later
//   [up|down] rate BYTES      at most so many a second; 0 is no limit
//   [up|down] hold on|off     nothing passes; connections stay: a blackhole, or one way of it
//   [up|down] segment N       at most N bytes in one send(); 0 is no limit
//   [up|down] flip N          one bit of about every N bytes is turned over; 0 is none
//   reset MIN MAX             each connection is reset after so many bytes in both directions; 0 0:
//   never half_close MIN MAX        the peer sees the end of `up` after so many bytes of it; 0 0:
//   never refuse PERCENT            of new connections are reset at once cut resets all connections
//   now stats                     one line of JSON
//
// up is from who connects to FORWARD; without up or down a command means both.
#include "program.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <sstream>
#include <vector>

namespace {

constexpr std::size_t kRead = 64 << 10;
constexpr std::size_t kMostQueued = 1 << 20;
constexpr double kNever = 1e18;

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Address {
  bool is_unix = false;
  std::string path_or_host;
  int port = 0;
};

Address parse_address(const std::string& text) {
  if (text.rfind("unix:", 0) == 0) return {true, text.substr(5), 0};
  const std::size_t colon = text.rfind(':');
  if (text.rfind("tcp:", 0) != 0 || colon < 4) program::die("no address: '" + text + "'");
  return {false, text.substr(4, colon - 4),
          static_cast<int>(program::to_number(std::string_view(text).substr(colon + 1)))};
}

union SocketAddress {
  sockaddr any;
  sockaddr_in tcp;
  sockaddr_un local;
};

socklen_t fill(const Address& address, SocketAddress& filled) {
  std::memset(&filled, 0, sizeof filled);
  if (address.is_unix) {
    filled.local.sun_family = AF_UNIX;
    if (address.path_or_host.size() >= sizeof filled.local.sun_path) program::die("path too long");
    std::memcpy(filled.local.sun_path, address.path_or_host.data(), address.path_or_host.size());
    return sizeof filled.local;
  }
  filled.tcp.sin_family = AF_INET;
  filled.tcp.sin_port = htons(static_cast<std::uint16_t>(address.port));
  const std::string host = address.path_or_host == "localhost" ? "127.0.0.1" : address.path_or_host;
  if (inet_pton(AF_INET, host.c_str(), &filled.tcp.sin_addr) != 1) program::die("host: " + host);
  return sizeof filled.tcp;
}

int make_socket(const Address& address) {
  const int fd = socket(address.is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) program::die_errno("socket");
  return fd;
}

int listen_on(Address& address) {
  const int fd = make_socket(address);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  SocketAddress where;
  socklen_t length = fill(address, where);
  if (address.is_unix) unlink(address.path_or_host.c_str());
  if (bind(fd, &where.any, length) != 0 || listen(fd, 1024) != 0) program::die_errno("listening");
  if (!address.is_unix) {
    getsockname(fd, &where.any, &length);
    address.port = ntohs(where.tcp.sin_port);
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

void make_ready(int fd) {
  fcntl(fd, F_SETFL, O_NONBLOCK);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // fails on a UNIX socket: no matter
}

// -1: nobody is there.
int connect_to(const Address& address) {
  const int fd = make_socket(address);
  SocketAddress where;
  const socklen_t length = fill(address, where);
  if (connect(fd, &where.any, length) != 0) {
    close(fd);
    return -1;
  }
  make_ready(fd);
  return fd;
}

// Closes so that the peer sees a reset (of a UNIX socket: an end with bytes unread).
void reset_socket(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

struct Rules {
  double delay = 0;
  std::uint64_t rate = 0;
  bool hold = false;
  std::size_t segment = 0;
  std::uint64_t flip = 0;
};

struct Range {
  std::uint64_t least = 0;
  std::uint64_t most = 0;
};

struct Counts {
  std::uint64_t connections = 0;
  std::uint64_t unreachable = 0;
  std::uint64_t refused = 0;
  std::uint64_t resets = 0;
  std::uint64_t half_closes = 0;
  std::uint64_t flips = 0;
  std::uint64_t bytes[2] = {0, 0};  // up, down
};

std::mt19937_64 chance;

std::uint64_t pick(std::uint64_t least, std::uint64_t most) {
  return std::uniform_int_distribution<std::uint64_t>(least, std::max(least, most))(chance);
}

// One direction of a connection.
class Way {
 public:
  Way(int from, int to, const Rules& rules, Counts& counts, std::uint64_t& passed)
      : from_(from), to_(to), rules_(rules), counts_(counts), passed_(passed) {}

  bool wants_input() const { return !ended_ && !rules_.hold && queued_ < kMostQueued; }
  bool wants_output() const { return blocked_; }
  bool finished() const { return end_sent_; }
  int from() const { return from_; }
  int to() const { return to_; }

  // When something is to be done without input or room.
  double deadline(double time) const {
    if (rules_.hold || blocked_) return kNever;
    if (queue_.empty()) return ended_ && !end_sent_ ? time : kNever;
    return std::max(queue_.front().due, rules_.rate == 0 ? 0 : allowed_at_);
  }

  // false: the connection is broken.
  bool take(double time) {
    char buffer[kRead];
    const ssize_t count = recv(from_, buffer, sizeof buffer, 0);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) {
      ended_ = true;
      return true;
    }
    std::string bytes(buffer, static_cast<std::size_t>(count));
    flip_bits(bytes);
    queued_ += bytes.size();
    queue_.push_back({time + rules_.delay, std::move(bytes)});
    return true;
  }

  // Sends what is due, at most until `stop_at` bytes have passed in all.
  bool give(double time, std::uint64_t stop_at) {
    blocked_ = false;
    while (!queue_.empty() && !rules_.hold && queue_.front().due <= time && passed_ < stop_at) {
      if (rules_.rate != 0 && allowed_at_ > time) break;
      Piece& piece = queue_.front();
      std::size_t size = piece.bytes.size() - piece.at;
      if (rules_.segment != 0) size = std::min(size, rules_.segment);
      if (rules_.rate != 0) size = std::min<std::size_t>(size, rules_.rate / 50 + 1);
      size = std::min<std::size_t>(size, stop_at - passed_);
      const ssize_t sent = send(to_, piece.bytes.data() + piece.at, size, MSG_NOSIGNAL);
      if (sent < 0) {
        blocked_ = errno == EAGAIN;
        return errno == EAGAIN || errno == EINTR;
      }
      const auto count = static_cast<std::size_t>(sent);
      passed_ += count;
      queued_ -= count;
      piece.at += count;
      if (rules_.rate != 0) {
        allowed_at_ = std::max(allowed_at_, time - 0.02) +
                      static_cast<double>(count) / static_cast<double>(rules_.rate);
      }
      if (piece.at == piece.bytes.size()) queue_.pop_front();
    }
    if (ended_ && queue_.empty() && !end_sent_ && !rules_.hold) end();
    return true;
  }

  void end() {
    shutdown(to_, SHUT_WR);
    ended_ = end_sent_ = true;
    queue_.clear();
    queued_ = 0;
  }

 private:
  struct Piece {
    double due;
    std::string bytes;
    std::size_t at = 0;
  };

  void flip_bits(std::string& bytes) {
    if (rules_.flip == 0) return;
    std::size_t at = 0;
    while (true) {
      if (until_flip_ == 0) until_flip_ = pick(1, 2 * rules_.flip);
      if (until_flip_ > bytes.size() - at) {
        until_flip_ -= bytes.size() - at;
        return;
      }
      at += static_cast<std::size_t>(until_flip_);
      until_flip_ = 0;
      bytes[at - 1] = static_cast<char>(bytes[at - 1] ^ (1 << pick(0, 7)));
      ++counts_.flips;
    }
  }

  int from_;
  int to_;
  const Rules& rules_;
  Counts& counts_;
  std::uint64_t& passed_;
  std::deque<Piece> queue_;
  std::size_t queued_ = 0;
  std::uint64_t until_flip_ = 0;
  double allowed_at_ = 0;
  bool ended_ = false;
  bool end_sent_ = false;
  bool blocked_ = false;
};

struct Connection {
  Connection(int client, int server, const Rules* rules, Counts& counts)
      : up(client, server, rules[0], counts, passed[0]),
        down(server, client, rules[1], counts, passed[1]) {}

  std::uint64_t passed[2] = {0, 0};
  std::uint64_t reset_at = ~0ULL;       // of both directions together
  std::uint64_t half_close_at = ~0ULL;  // of up
  Way up;
  Way down;
};

class Proxy {
 public:
  Proxy(Address listen, Address forward)
      : listen_(std::move(listen)), forward_(std::move(forward)) {
    listener_ = listen_on(listen_);
  }

  std::string address() const {
    if (listen_.is_unix) return "unix:" + listen_.path_or_host;
    return "tcp:" + listen_.path_or_host + ":" + std::to_string(listen_.port);
  }

  void run() {
    while (!stop_) turn();
    for (auto& each : connections_) reset(*each);
    if (listen_.is_unix) unlink(listen_.path_or_host.c_str());
  }

 private:
  void turn() {
    std::vector<pollfd> polled{{STDIN_FILENO, POLLIN, 0},
                               {rules_[0].hold && rules_[1].hold ? -1 : listener_, POLLIN, 0}};
    double until = kNever;
    const double before = now();
    for (const auto& each : connections_) {
      polled.push_back(interest(each->up.from(), each->up, each->down));
      polled.push_back(interest(each->down.from(), each->down, each->up));
      until = std::min({until, each->up.deadline(before), each->down.deadline(before)});
    }
    int timeout = -1;
    if (until < kNever) {
      timeout = std::clamp(static_cast<int>((until - before) * 1000) + 1, 0, 60'000);
      if (until <= before) timeout = 0;
    }
    if (poll(polled.data(), polled.size(), timeout) < 0 && errno != EINTR) {
      program::die_errno("poll");
    }
    const double time = now();
    for (std::size_t at = 0; at < connections_.size(); ++at) {
      const bool client_ready = (polled[2 + 2 * at].revents & ~POLLOUT) != 0;
      const bool server_ready = (polled[3 + 2 * at].revents & ~POLLOUT) != 0;
      if (!serve(*connections_[at], client_ready, server_ready, time)) connections_[at] = nullptr;
    }
    connections_.erase(std::remove(connections_.begin(), connections_.end(), nullptr),
                       connections_.end());
    if (polled[1].revents != 0) accept_all();
    if (polled[0].revents != 0) read_commands();
  }

  static pollfd interest(int fd, const Way& in, const Way& out) {
    int events = 0;
    if (in.wants_input()) events |= POLLIN;
    if (out.wants_output()) events |= POLLOUT;
    // Without a wish it is not polled at all: a hang-up would be told again and again.
    return {events == 0 ? -1 : fd, static_cast<short>(events), 0};
  }

  // false: the connection is over, and closed.
  bool serve(Connection& each, bool client_ready, bool server_ready, double time) {
    bool alive = true;
    if (client_ready && each.up.wants_input()) alive = each.up.take(time) && alive;
    if (server_ready && each.down.wants_input()) alive = each.down.take(time) && alive;
    const std::uint64_t before[2] = {each.passed[0], each.passed[1]};
    const std::uint64_t room = each.reset_at - std::min(each.reset_at, each.passed[1]);
    alive = alive && each.up.give(time, std::min(each.half_close_at, room));
    alive = alive && each.down.give(time, each.reset_at - std::min(each.reset_at, each.passed[0]));
    for (int way : {0, 1}) counts_.bytes[way] += each.passed[way] - before[way];
    if (alive && !each.up.finished() && each.passed[0] >= each.half_close_at) {
      each.up.end();
      ++counts_.half_closes;
    }
    if (each.passed[0] + each.passed[1] >= each.reset_at) {
      ++counts_.resets;
      alive = false;
    }
    if (!alive) {
      reset(each);
      return false;
    }
    if (!each.up.finished() || !each.down.finished()) return true;
    close(each.up.from());
    close(each.down.from());
    return false;
  }

  static void reset(Connection& each) {
    reset_socket(each.up.from());
    reset_socket(each.down.from());
  }

  static std::uint64_t limit(const Range& range, std::uint64_t passed) {
    return range.most == 0 ? ~0ULL : passed + pick(range.least, range.most);
  }

  void accept_all() {
    while (true) {
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) return;
      ++counts_.connections;
      if (pick(0, 99) < refuse_) {
        ++counts_.refused;
        reset_socket(client);
        continue;
      }
      const int server = connect_to(forward_);
      if (server < 0) {
        ++counts_.unreachable;
        reset_socket(client);
        continue;
      }
      make_ready(client);
      auto made = std::make_unique<Connection>(client, server, rules_, counts_);
      made->reset_at = limit(reset_, 0);
      made->half_close_at = limit(half_close_, 0);
      connections_.push_back(std::move(made));
    }
  }

  void read_commands() {
    char buffer[4096];
    const ssize_t count = read(STDIN_FILENO, buffer, sizeof buffer);
    if (count <= 0) {
      stop_ = true;
      return;
    }
    commands_.append(buffer, static_cast<std::size_t>(count));
    for (std::size_t end = 0; (end = commands_.find('\n')) != std::string::npos;) {
      const std::string answer = obey(commands_.substr(0, end)) + "\n";
      commands_.erase(0, end + 1);
      program::write_all(STDOUT_FILENO, answer);
    }
  }

  std::string obey(const std::string& line) {
    std::istringstream words(line);
    std::string name;
    std::string first;
    std::string second;
    words >> name;
    bool ways[2] = {true, true};
    if (name == "up" || name == "down") {
      ways[name == "up" ? 1 : 0] = false;
      words >> name;
    }
    words >> first >> second;
    if (name == "stats") return stats();
    if (name == "cut") {
      for (auto& each : connections_) reset(*each);
      counts_.resets += connections_.size();
      connections_.clear();
      return "ok";
    }
    if (name == "refuse") {
      refuse_ = program::to_bytes(first);
      return "ok";
    }
    if (name == "reset" || name == "half_close") {
      const Range range{program::to_bytes(first), program::to_bytes(second)};
      (name == "reset" ? reset_ : half_close_) = range;
      for (auto& each : connections_) {  // from now on
        if (name == "reset") {
          each->reset_at = limit(range, each->passed[0] + each->passed[1]);
        } else {
          each->half_close_at = limit(range, each->passed[0]);
        }
      }
      return "ok";
    }
    for (int way : {0, 1}) {
      if (!ways[way]) continue;
      Rules& rules = rules_[way];
      if (name == "delay") {
        rules.delay = program::to_seconds(first) / 1000;
      } else if (name == "rate") {
        rules.rate = program::to_bytes(first);
      } else if (name == "hold") {
        rules.hold = first == "on";
      } else if (name == "segment") {
        rules.segment = program::to_bytes(first);
      } else if (name == "flip") {
        rules.flip = program::to_bytes(first);
      } else {
        return "error: unknown command '" + line + "'";
      }
    }
    return "ok";
  }

  std::string stats() const {
    std::ostringstream text;
    text << "{\"connections\": " << counts_.connections << ", \"open\": " << connections_.size()
         << ", \"unreachable\": " << counts_.unreachable << ", \"refused\": " << counts_.refused
         << ", \"resets\": " << counts_.resets << ", \"half_closes\": " << counts_.half_closes
         << ", \"flips\": " << counts_.flips << ", \"up\": " << counts_.bytes[0]
         << ", \"down\": " << counts_.bytes[1] << "}";
    return text.str();
  }

  Address listen_;
  Address forward_;
  int listener_ = -1;
  Rules rules_[2];
  Range reset_;
  Range half_close_;
  std::uint64_t refuse_ = 0;
  Counts counts_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::string commands_;
  bool stop_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> addresses;
  program::Arguments arguments(argc, argv);
  while (arguments.next()) {
    if (arguments.name() == "--seed") {
      chance.seed(static_cast<std::uint64_t>(program::to_number(arguments.value())));
    } else {
      addresses.emplace_back(arguments.name());
    }
  }
  if (addresses.size() != 2) program::die("needs two addresses: LISTEN FORWARD");
  signal(SIGPIPE, SIG_IGN);
  Proxy proxy(parse_address(addresses[0]), parse_address(addresses[1]));
  program::write_all(STDOUT_FILENO, proxy.address() + "\n");
  proxy.run();
  return 0;
}
