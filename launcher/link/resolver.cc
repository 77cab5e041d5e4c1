#include "launcher/link/resolver.h"

#include <netdb.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "base/fd.h"
#include "base/signals.h"

namespace muster::link {

struct Resolver::Search {
  Fd found{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex;
  std::optional<Result<std::vector<std::string>>> result;  // under the mutex
};

namespace {

Result<std::vector<std::string>> look_up(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return fail(ErrorCode::kInternal, "looking up " + host + ": " + ::gai_strerror(error));
  }
  std::vector<std::string> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0,
                      NI_NUMERICHOST) != 0) {
      continue;
    }
    if (std::find(addresses.begin(), addresses.end(), text.data()) == addresses.end()) {
      addresses.emplace_back(text.data());
    }
  }
  ::freeaddrinfo(found);
  return addresses;
}

}  // namespace

Resolver::Resolver(EventLoop& loop, const std::string& host, Done done)
    : search_(std::make_shared<Search>()) {
  found_ = loop.on_readable(search_->found.get(), [search = search_, done = std::move(done)] {
    eventfd_t ignored = 0;
    static_cast<void>(::eventfd_read(search->found.get(), &ignored));
    std::optional<Result<std::vector<std::string>>> result;
    {
      const std::scoped_lock lock(search->mutex);
      result.swap(search->result);
    }
    // The callback lives in the watch, which may go with this object.
    const Done call = done;
    if (result) call(std::move(*result));
  });
  const auto work = [search = search_, host] {
    auto result = look_up(host);
    const std::scoped_lock lock(search->mutex);
    search->result = std::move(result);
    static_cast<void>(::eventfd_write(search->found.get(), 1));
  };
  const AllSignalsBlocked no_signals;
  try {
    std::thread(work).detach();
  } catch (const std::system_error&) {
    work();  // no more threads are allowed: then it is waited for
  }
}

}  // namespace muster::link
