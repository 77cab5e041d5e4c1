#include "collector/replication/dialer.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/unix_socket.h"

namespace muster::replication {

std::chrono::milliseconds Backoff::next() {
  const auto above = static_cast<std::uint64_t>((last_ * 3 - kLeast).count());
  const auto wait = kLeast + std::chrono::milliseconds(random_(above + 1));
  last_ = std::min<std::chrono::milliseconds>(wait, kMost);
  return last_;
}

void tune_socket(const Fd& socket) {
  const auto set = [&](int level, int name, int value) {
    static_cast<void>(::setsockopt(socket.get(), level, name, &value, sizeof value));
  };
  int domain = AF_UNIX;
  socklen_t size = sizeof domain;
  static_cast<void>(::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size));
  if (domain == AF_UNIX) return;
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  // For hosts that vanish; the peers' own pings notice anything else sooner.
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  // Longer than limits.node_lost_after is by default: a silent node is lost by what it does not say.
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000);
  // What is queued in the kernel cannot be overtaken by what is urgent.
  set(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 256 << 10);
}

Dialer::Dialer(EventLoop& loop, Address address, std::chrono::milliseconds limit_of_each, Done done)
    : loop_(loop), address_(std::move(address)), limit_(limit_of_each), done_(std::move(done)) {
  timer_ = loop_.at(EventLoop::Clock::now(), [this] {
    auto targets = find_targets();
    if (!targets) return finish(Failure(std::move(targets).error()));
    targets_ = std::move(*targets);
    try_next();
  });
}

Result<std::vector<Dialer::Target>> Dialer::find_targets() const {
  std::vector<Target> targets;
  if (address_.transport == Transport::kUnix) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    if (address_.path.size() > kMaxSocketPath) {
      return fail(ErrorCode::kUsage, "the path of " + address_.to_string() + " is longer than " +
                                         std::to_string(kMaxSocketPath) + " bytes");
    }
    address_.path.copy(local.sun_path, address_.path.size());
    targets.push_back({AF_UNIX, std::string(reinterpret_cast<const char*>(&local), sizeof local)});
    return targets;
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address_.port);
  if (const int error = ::getaddrinfo(address_.host.c_str(), port.c_str(), &hints, &found);
      error != 0) {
    return fail(ErrorCode::kInternal, "looking up " + address_.host + ": " + ::gai_strerror(error));
  }
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    targets.push_back({each->ai_family, std::string(reinterpret_cast<const char*>(each->ai_addr),
                                                    each->ai_addrlen)});
  }
  ::freeaddrinfo(found);
  return targets;
}

void Dialer::try_next() {
  writable_ = {};
  while (next_target_ < targets_.size()) {
    const Target& target = targets_[next_target_++];
    socket_.reset(::socket(target.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) {
      last_trouble_ = std::strerror(errno);
      continue;
    }
    tune_socket(socket_);
    const int result =
        ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(target.bytes.data()),
                  static_cast<socklen_t>(target.bytes.size()));
    if (result == 0 || errno == EINPROGRESS) {
      writable_ = loop_.on_writable(socket_.get(), [this] { on_connected(); });
      timer_ = loop_.at(EventLoop::Clock::now() + limit_, [this] {
        last_trouble_ = "no answer";
        try_next();
      });
      return;
    }
    last_trouble_ = std::strerror(errno);
  }
  finish(fail(ErrorCode::kInternal, "connecting to " + address_.to_string() + ": " +
                                        (last_trouble_.empty() ? "no address" : last_trouble_)));
}

void Dialer::on_connected() {
  int error = 0;
  socklen_t size = sizeof error;
  static_cast<void>(::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size));
  if (error == 0) return finish(std::move(socket_));
  last_trouble_ = std::strerror(error);
  try_next();
}

void Dialer::finish(Result<Fd> result) {
  writable_ = {};
  timer_ = {};
  const Done done = std::exchange(done_, {});
  if (done) done(std::move(result));  // which may destroy this object
}

}  // namespace muster::replication
