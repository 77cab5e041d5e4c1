#include "launcher/link/probe_station.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "launcher/link/socket_address.h"

namespace muster::link {
namespace {

using Clock = EventLoop::Clock;

std::chrono::milliseconds bounded(std::int64_t wanted_ms) {
  return std::clamp<std::chrono::milliseconds>(
      std::chrono::milliseconds(wanted_ms), std::chrono::milliseconds(1), ProbeStation::kLongest);
}

// At all addresses, IPv6 ones too where there are any; no Fd: errno says why.
Fd listen_everywhere(std::uint16_t& port) {
  for (const int family : {AF_INET6, AF_INET}) {
    Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) continue;
    const int off = 0;
    if (family == AF_INET6 &&
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) {
      continue;
    }
    const std::string any(family == AF_INET6 ? sizeof(in6_addr) : sizeof(in_addr), '\0');
    const auto address = socket_address(any, 0);
    if (::bind(socket.get(), address->get(), address->size) != 0) continue;
    if (::listen(socket.get(), 64) != 0) continue;
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) continue;
    port = ntohs(family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                    : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
    return socket;
  }
  return {};
}

}  // namespace

ProbeStation::ProbeStation(EventLoop& loop, std::function<void(protocol::MemberMessage)> say)
    : loop_(loop), say_(std::move(say)) {}

ProbeStation::~ProbeStation() = default;

void ProbeStation::say_soon(protocol::MemberMessage message) {
  loop_.post([this, message = std::move(message)] { say_(message); });
}

void ProbeStation::listen(const protocol::ProbeListen& wanted) {
  protocol::MemberMessage said;
  said.mutable_listening()->set_id(wanted.id());
  if (listening_.size() >= kMostListeners && !listening_.contains(wanted.id())) {
    return say_soon(std::move(said));
  }
  auto listening = std::make_unique<Listening>();
  listening->id = wanted.id();
  listening->nonce = wanted.nonce();
  std::uint16_t port = 0;
  if (wanted.nonce().size() == kNonceSize) listening->socket = listen_everywhere(port);
  said.mutable_listening()->set_port(port);
  say_soon(std::move(said));
  if (!listening->socket) return;
  Listening& kept = *(listening_[wanted.id()] = std::move(listening));
  kept.readable = loop_.on_readable(kept.socket.get(), [this, &kept] { accept(kept); });
  kept.over = loop_.at(Clock::now() + bounded(wanted.for_ms()),
                       [this, id = kept.id] { listening_.erase(id); });
}

void ProbeStation::accept(Listening& listening) {
  Fd socket(::accept4(listening.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;
  // Whoever says nothing makes room for others.
  if (listening.callers.size() >= kMostCallers) listening.callers.pop_front();
  const auto caller = listening.callers.emplace(listening.callers.end());
  caller->socket = std::move(socket);
  caller->readable = loop_.on_readable(caller->socket.get(),
                                       [this, &listening, caller] { answer(listening, caller); });
}

void ProbeStation::answer(Listening& listening, std::list<Caller>::iterator caller) {
  std::array<char, kNonceSize> bytes{};
  const ssize_t got =
      ::recv(caller->socket.get(), bytes.data(), kNonceSize - caller->said.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) caller->said.append(bytes.data(), static_cast<std::size_t>(got));
  if (got > 0 && caller->said.size() < kNonceSize) return;
  if (got > 0 && caller->said == listening.nonce) {
    static_cast<void>(::send(caller->socket.get(), caller->said.data(), caller->said.size(),
                             MSG_NOSIGNAL | MSG_DONTWAIT));
  }
  listening.callers.erase(caller);
}

void ProbeStation::dial(const protocol::ProbeDial& wanted) {
  std::size_t count = 0;
  for (const std::string& address : wanted.addresses()) {
    if (++count > kMostAddresses) break;
    Dialing& dialing = dialing_.emplace_back();
    dialing.id = wanted.id();
    dialing.address = address;
    dialing.nonce = wanted.nonce();
    dialing.since = Clock::now();
    const auto target = socket_address(address, static_cast<std::uint16_t>(wanted.port()));
    if (!target || wanted.nonce().size() != kNonceSize || wanted.port() > 65535) {
      finish(dialing, "it is no address");
      continue;
    }
    dialing.socket.reset(
        ::socket(target->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!dialing.socket || (::connect(dialing.socket.get(), target->get(), target->size) != 0 &&
                            errno != EINPROGRESS)) {
      finish(dialing, std::strerror(errno));
      continue;
    }
    const auto limit = bounded(wanted.limit_ms());
    dialing.ready = loop_.on_writable(dialing.socket.get(), [this, &dialing] { go_on(dialing); });
    dialing.over = loop_.at(Clock::now() + limit, [this, &dialing, limit] {
      finish(dialing,
             (dialing.connected ? "somebody answers, but not the node that was meant, within "
                                : "no answer within ") +
                 std::to_string(limit.count()) + " ms");
    });
  }
}

void ProbeStation::go_on(Dialing& dialing) {
  if (!dialing.connected) {
    int error = 0;
    socklen_t size = sizeof error;
    static_cast<void>(::getsockopt(dialing.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size));
    if (error != 0) return finish(dialing, std::strerror(error));
    dialing.connected = true;
    static_cast<void>(::send(dialing.socket.get(), dialing.nonce.data(), dialing.nonce.size(),
                             MSG_NOSIGNAL | MSG_DONTWAIT));
    dialing.ready = loop_.on_readable(dialing.socket.get(), [this, &dialing] { go_on(dialing); });
    return;
  }
  std::array<char, kNonceSize> bytes{};
  const ssize_t got =
      ::recv(dialing.socket.get(), bytes.data(), kNonceSize - dialing.heard.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got > 0) dialing.heard.append(bytes.data(), static_cast<std::size_t>(got));
  if (got > 0 && dialing.heard.size() < kNonceSize) return;
  finish(dialing,
         dialing.heard == dialing.nonce ? "" : "somebody else than the node listens there");
}

void ProbeStation::finish(Dialing& dialing, const std::string& problem) {
  protocol::MemberMessage said;
  protocol::ProbeResult& result = *said.mutable_probed();
  result.set_id(dialing.id);
  result.set_address(dialing.address);
  result.set_problem(problem);
  result.set_round_trip_ns(
      std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - dialing.since).count());
  say_soon(std::move(said));
  const auto found = std::find_if(dialing_.begin(), dialing_.end(),
                                  [&](const Dialing& each) { return &each == &dialing; });
  if (found != dialing_.end()) dialing_.erase(found);
}

}  // namespace muster::link
