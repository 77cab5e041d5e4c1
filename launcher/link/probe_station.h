// Tries which addresses of another node can be reached: listens for its probes, and sends some.
//
// What listens sends back a nonce that only it and the prober know, so that a listener of this
// node, or of a third one, at an address that several have (docker0) is not taken for the right
// one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/fd.h"
#include "cluster.pb.h"

namespace muster::link {

class ProbeStation {
 public:
  // `say`: ProbeListening and ProbeResult; called from the loop, never from inside a call.
  ProbeStation(EventLoop& loop, std::function<void(protocol::MemberMessage)> say);
  ~ProbeStation();

  // Port 0 in the answer: it could not.  Replaces one with the same id.
  void listen(const protocol::ProbeListen& wanted);
  // One ProbeResult for each address, at the latest after limit_ms.
  void dial(const protocol::ProbeDial& wanted);

  static constexpr std::size_t kNonceSize = 16;
  static constexpr std::size_t kMostListeners = 4;
  static constexpr std::size_t kMostAddresses = 64;  // of a dial
  static constexpr std::size_t kMostCallers = 64;    // of a listener, at a time
  static constexpr std::chrono::milliseconds kLongest{60'000};

 private:
  struct Caller {
    Fd socket;
    std::string said;
    EventLoop::Watch readable;
  };
  struct Listening {
    std::uint32_t id = 0;
    std::string nonce;
    Fd socket;
    EventLoop::Watch readable;
    EventLoop::Watch over;
    std::list<Caller> callers;
  };
  // One address.
  struct Dialing {
    std::uint32_t id = 0;
    std::string address;
    std::string nonce;
    Fd socket;
    bool connected = false;
    std::string heard;
    EventLoop::Clock::time_point since;
    EventLoop::Watch ready;
    EventLoop::Watch over;
  };

  void accept(Listening& listening);
  void answer(Listening& listening, std::list<Caller>::iterator caller);
  void go_on(Dialing& dialing);
  void finish(Dialing& dialing, const std::string& problem);
  void say_soon(protocol::MemberMessage message);

  EventLoop& loop_;
  std::function<void(protocol::MemberMessage)> say_;
  std::map<std::uint32_t, std::unique_ptr<Listening>> listening_;
  std::list<Dialing> dialing_;
};

}  // namespace muster::link
