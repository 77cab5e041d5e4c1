#include "collector/replication/connection.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace muster::replication {
namespace {

constexpr std::size_t kMostUnsent = 512U << 10;       // waits here for the socket
constexpr std::size_t kMostSentATurn = 1U << 20;      // then others have their turn
constexpr std::chrono::milliseconds kFarewell{1000};  // for what a closing peer is still told

Error lost(const std::string& why) {
  return Error{ErrorCode::kInternal, why, "", std::nullopt};
}

}  // namespace

Connection::Connection(EventLoop& loop, Fd socket, Setup setup, std::span<char> buffer,
                       ConnectionOwner& owner)
    : loop_(loop),
      socket_(std::move(socket)),
      setup_(std::move(setup)),
      buffer_(buffer),
      owner_(owner) {
  readable_ = loop_.on_readable(socket_.get(), [this] { on_readable(); });
  deadline_ = loop_.at(EventLoop::Clock::now() + setup_.handshake_limit, [this] {
    drop(lost("the handshake took longer than " + std::to_string(setup_.handshake_limit.count()) +
              " ms"));
  });
  if (setup_.side == TlsSide::kServer && setup_.tls != nullptr) return;  // after its first record
  const Result<> begun = setup_.tls != nullptr ? begin_tls() : begin_handshake();
  if (!begun) close(begun.error());
}

Connection::~Connection() = default;

Result<> Connection::begin_tls() {
  owner_.starts_tls(*this);
  if (state_ != State::kShaking) return {};
  session_ = std::make_unique<TlsSession>(*setup_.tls);
  flush();
  return {};
}

Result<> Connection::begin_handshake() {
  handshake_ = setup_.handshake(session_ ? session_->exporter() : std::string());
  queue(handshake_->take_output());
  flush();
  return {};
}

void Connection::on_readable() {
  std::size_t most = std::min(buffer_.size(), kMostBytesATurn);
  // Nobody is given more memory or time before it is known who it is.
  if (state_ == State::kShaking) {
    most = std::min(most, Handshake::kMostBytes + 1 - bytes_before_up_);
  }
  const ssize_t got = ::recv(socket_.get(), buffer_.data(), most, MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    drop(lost(std::string("the connection broke: ") + std::strerror(errno)));
    return;
  }
  if (got == 0) {
    drop(why_ ? *why_
              : lost(state_ == State::kShaking
                         ? "the peer closed the connection before either side was known"
                         : "the connection was closed by the peer"));
    return;
  }
  if (state_ == State::kClosing) return;  // nobody wants it any more
  const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
  if (state_ == State::kShaking) {
    bytes_before_up_ += bytes.size();
    if (bytes_before_up_ > Handshake::kMostBytes) {
      drop(lost("the peer says too much before it is known"));
      return;
    }
  }
  const auto fed = feed(bytes);
  if (!fed) close(fed.error());
  if (state_ == State::kShaking || state_ == State::kUp) flush();
}

Result<> Connection::feed(std::string_view bytes) {
  if (setup_.tls == nullptr) return feed_plain(bytes);
  std::string held;  // outlives the view of it
  if (session_ == nullptr) {
    first_bytes_ += bytes;
    const auto plausible = begins_tls(first_bytes_);
    if (!plausible) return {};
    if (!*plausible) {
      drop(lost("the peer does not begin with TLS"));
      return {};
    }
    MUSTER_TRY(begin_tls());
    if (session_ == nullptr) return {};  // the owner has closed it
    held = std::exchange(first_bytes_, {});
    bytes = held;
  }
  const bool was_ready = session_->ready();
  const auto plain = [this](std::string_view text) -> Result<> {
    if (handshake_ == nullptr) MUSTER_TRY(begin_handshake());
    return feed_plain(text);
  };
  MUSTER_TRY(session_->receive(bytes, plain));
  if (!was_ready && session_->ready() && handshake_ == nullptr) return begin_handshake();
  return {};
}

Result<> Connection::feed_plain(std::string_view bytes) {
  if (state_ == State::kUp) return owner_.received(*this, bytes);
  if (state_ != State::kShaking) return {};
  const auto shaken = handshake_->receive(bytes);
  queue(handshake_->take_output());
  MUSTER_TRY(shaken);
  if (!handshake_->done()) return {};
  state_ = State::kUp;
  deadline_ = {};
  owner_.connected(*this);
  const std::string rest = handshake_->take_rest();
  if (rest.empty() || state_ != State::kUp) return {};
  return owner_.received(*this, rest);
}

void Connection::queue(std::string plain) {
  if (session_ != nullptr) {
    if (!plain.empty()) {
      if (const auto sent = session_->send(plain); !sent && !why_) why_ = sent.error();
    }
    plain = session_->take_output();
  }
  if (plain.empty()) return;
  output_bytes_ += plain.size();
  output_.push_back(std::move(plain));
}

void Connection::output_ready() {
  if (state_ == State::kUp && !writable_) flush();
}

void Connection::flush() {
  std::size_t sent_now = 0;
  while (state_ != State::kClosed) {
    if (session_ != nullptr) queue("");  // TLS's own words
    while (state_ == State::kUp && output_bytes_ < kMostUnsent) {
      std::string more = owner_.take_output(*this, kMostBytesATurn);
      if (more.empty()) break;
      queue(std::move(more));
    }
    if (output_.empty()) break;
    std::array<iovec, 16> parts{};
    std::size_t count = 0;
    for (std::string& text : output_) {
      if (count == parts.size()) break;
      const std::size_t from = count == 0 ? sent_of_first_ : 0;
      parts[count++] = {text.data() + from, text.size() - from};
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) {
      drop(why_ ? *why_ : lost(std::string("the connection broke: ") + std::strerror(errno)));
      return;
    }
    if (sent > 0) {
      std::size_t left = static_cast<std::size_t>(sent);
      output_bytes_ -= left;
      sent_now += left;
      while (left > 0) {
        const std::size_t of_first = std::min(left, output_.front().size() - sent_of_first_);
        left -= of_first;
        sent_of_first_ += of_first;
        if (sent_of_first_ == output_.front().size()) {
          output_.pop_front();
          sent_of_first_ = 0;
        }
      }
    }
    if (sent < 0 || sent_now >= kMostSentATurn) {
      if (!writable_) writable_ = loop_.on_writable(socket_.get(), [this] { flush(); });
      return;
    }
  }
  writable_ = {};
  if (state_ == State::kClosing && !said_end_) {
    said_end_ = true;
    // What is unread here would make the kernel take back what the peer has not read there; so its
    // end is awaited.
    ::shutdown(socket_.get(), SHUT_WR);
  }
}

void Connection::close(const Error& why) {
  if (state_ == State::kClosing || state_ == State::kClosed) return;
  if (!why_) why_ = why;
  while (state_ == State::kUp && output_bytes_ < kMostUnsent) {
    std::string more = owner_.take_output(*this, kMostBytesATurn);
    if (more.empty()) break;
    queue(std::move(more));
  }
  state_ = State::kClosing;
  if (session_ != nullptr) {
    session_->say_end();
    queue("");
  }
  deadline_ = loop_.at(EventLoop::Clock::now() + kFarewell, [this] { drop(*why_); });
  flush();
}

void Connection::drop(const Error& why) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  if (!why_) why_ = why;
  readable_ = {};
  writable_ = {};
  deadline_ = {};
  socket_.reset();
  // Not from here: whoever calls may still use this object.
  farewell_ = loop_.at(EventLoop::Clock::now(), [this] { finish(); });
}

void Connection::finish() {
  const Error why = *why_;
  owner_.closed(*this, why);  // which may be the end of this object
}

}  // namespace muster::replication
