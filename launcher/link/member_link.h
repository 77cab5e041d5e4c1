// A member's connection to the head, on a thread of its own: dials until it is let in, answers
// beats, and hands messages to and from the launcher's main thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster.pb.h"
#include "collector/replication/address.h"
#include "collector/replication/run_token.h"
#include "launcher/cluster/membership.h"
#include "muster/result.h"

namespace muster::link {

// A member sends MemberMessage.replicated when its StoreSender is complete after Stored.
struct MemberLinkSettings {
  cluster::Membership membership;
  std::shared_ptr<const replication::TokenKeys> keys;
  bool insecure = false;
  protocol::Join join;  // addresses of the connection are filled in here
  std::chrono::milliseconds join_timeout{600'000};
  // Of the head, until its first beat says how long it may be.
  std::chrono::milliseconds silence_allowed{35'000};
};

struct MemberEvent {
  enum class What {
    kWaiting,  // `text`: for whom or what, every few seconds
    kMessage,  // of the head, but beats, probes and what it says of waiting
    kFailed,   // never let in, or the head is gone: `error`
  };
  What what = What::kWaiting;
  std::string text = {};
  protocol::HeadMessage message = {};
  std::optional<Error> error = {};
};

class MemberLink {
 public:
  static Result<std::unique_ptr<MemberLink>> open(MemberLinkSettings settings);
  ~MemberLink();

  int fd() const;
  std::optional<MemberEvent> next();
  void send(protocol::MemberMessage message);
  // Where the head was reached: for the replication of this node's streams.
  std::optional<replication::Address> head() const;

 private:
  struct State;
  explicit MemberLink(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace muster::link
