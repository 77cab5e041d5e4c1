// A head and its members over real sockets on loopback, in one process.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "launcher/link/head_link.h"
#include "launcher/link/member_link.h"
#include "tests/support/scratch.h"

namespace muster::link {

inline constexpr auto kPatience = std::chrono::seconds(60);

inline bool wait_for(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

inline std::shared_ptr<const replication::TokenKeys> keys(const std::string& token) {
  return std::make_shared<const replication::TokenKeys>(replication::keys_of(token));
}

inline protocol::Join join_of(int node_rank, int node_count) {
  protocol::Join join;
  join.set_node_rank(node_rank);
  join.set_node_count(node_count);
  join.set_launcher("launcher-" + std::to_string(node_rank));
  join.set_hostname("node-" + std::to_string(node_rank));
  join.set_software("muster test");
  return join;
}

// What one side has said to its main thread until now.
class SeenByHead {
 public:
  explicit SeenByHead(HeadLink& link) : link_(link) {}

  const std::vector<cluster::HeadAction>& all() {
    while (auto action = link_.next()) all_.push_back(std::move(*action));
    return all_;
  }
  std::vector<cluster::HeadAction> of(cluster::HeadAction::What what) {
    std::vector<cluster::HeadAction> found;
    for (const auto& action : all()) {
      if (action.what == what) found.push_back(action);
    }
    return found;
  }
  bool has(cluster::HeadAction::What what, std::size_t count = 1) {
    return wait_for([&] { return of(what).size() >= count; });
  }
  std::string text() {
    std::string text;
    for (const auto& action : all()) text += action.text + "\n";
    return text;
  }

 private:
  HeadLink& link_;
  std::vector<cluster::HeadAction> all_;
};

class SeenByMember {
 public:
  explicit SeenByMember(MemberLink& link) : link_(link) {}

  const std::vector<MemberEvent>& all() {
    while (auto event = link_.next()) all_.push_back(std::move(*event));
    return all_;
  }
  const Error* failure() {
    for (const auto& event : all()) {
      if (event.what == MemberEvent::What::kFailed) return &*event.error;
    }
    return nullptr;
  }
  const protocol::HeadMessage* message(protocol::HeadMessage::MessageCase which) {
    for (const auto& event : all()) {
      if (event.what == MemberEvent::What::kMessage && event.message.message_case() == which) {
        return &event.message;
      }
    }
    return nullptr;
  }
  std::string text() {
    std::string text;
    for (const auto& event : all()) text += event.text + "\n";
    return text;
  }

 private:
  MemberLink& link_;
  std::vector<MemberEvent> all_;
};

class LinkTest : public test::ScratchTest {
 protected:
  HeadLinkSettings head_settings(int node_count) {
    HeadLinkSettings settings;
    settings.listen.transport = replication::Transport::kTls;
    settings.listen.host = "127.0.0.1";
    settings.keys = keys(token_);
    settings.node_count = node_count;
    settings.own = join_of(0, node_count);
    settings.own.set_own_address(std::string("\x7f\0\0\1", 4));
    return settings;
  }
  std::unique_ptr<HeadLink> open(HeadLinkSettings settings) {
    auto link = HeadLink::open(std::move(settings));
    EXPECT_TRUE(link) << link.error().message;
    return std::move(*link);
  }
  MemberLinkSettings member_settings(int node_rank, int node_count, int port) {
    MemberLinkSettings settings;
    settings.membership.node_rank.value = node_rank;
    settings.membership.node_count.value = node_count;
    settings.membership.head_address.value = "127.0.0.1";
    settings.membership.port.value = port;
    settings.keys = keys(token_);
    settings.join = join_of(node_rank, node_count);
    return settings;
  }
  std::unique_ptr<MemberLink> open(MemberLinkSettings settings) {
    auto link = MemberLink::open(std::move(settings));
    EXPECT_TRUE(link) << link.error().message;
    return std::move(*link);
  }
  std::unique_ptr<MemberLink> member(int node_rank, int node_count, const HeadLink& head) {
    return open(member_settings(node_rank, node_count, head.address().port));
  }

  const std::string token_ = replication::make_token();
};

}  // namespace muster::link
