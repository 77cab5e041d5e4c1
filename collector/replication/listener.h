// The socket that a collector listens on.
#pragma once

#include <string>

#include "base/fd.h"
#include "collector/replication/address.h"
#include "muster/result.h"

namespace muster::replication {

// A UNIX socket is gone again with its listener.
class Listener {
 public:
  // A UNIX socket has mode 0600; one that nobody listens on any more is replaced.  Errors:
  // kPermission, kInternal, with what to do.
  static Result<Listener> open(const Address& address);
  Listener(Listener&& other) noexcept;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  int fd() const { return socket_.get(); }
  const Address& address() const { return address_; }  // with the port that it got

  struct Stranger {
    Fd socket;         // non-blocking
    std::string name;  // "10.0.0.7:41232", "pid 4711"
  };
  // No socket: nobody waits.  Errors: of the kernel (no descriptors), and kPermission for somebody
  // else's process at a UNIX socket.
  Result<Stranger> accept() const;

 private:
  Listener(Address address, Fd socket) : address_(std::move(address)), socket_(std::move(socket)) {}

  Address address_;
  Fd socket_;
};

}  // namespace muster::replication
