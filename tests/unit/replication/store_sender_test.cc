// A run directory on its way to another one, over a real socket, with everything between.
#include "collector/replication/store_sender.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/event_loop.h"
#include "base/files.h"
#include "collector/replication/run_replica.h"
#include "collector/replication/server.h"
#include "collector/replication/upstream_file.h"
#include "collector/store/lost_streams.h"
#include "collector/store/stream_ledger.h"
#include "tests/support/scratch.h"

namespace muster::replication {
namespace {

using namespace std::chrono_literals;
using ::testing::SizeIs;

const std::string kStdout = "ranks/00000/attempt-0/stdout.log";

// A collector on a thread of its own.
class Collector {
 public:
  Collector(const std::filesystem::path& store, const Address& address) {
    thread_ = std::thread([this, store, address] {
      auto replica = RunReplica::open(store);
      ASSERT_TRUE(replica) << replica.error().message;
      ServerSettings settings;
      settings.listen = address;
      auto server = CollectorServer::listen(loop_, **replica, std::move(settings));
      ASSERT_TRUE(server) << server.error().message;
      const auto synced = loop_.on_readable((*replica)->finished_fd(), [&] {
        (*replica)->run_finished();
        (*server)->store_changed();
      });
      loop_.run();
      (*replica)->settle();
    });
  }
  ~Collector() {
    loop_.post([this] { loop_.stop(); });
    thread_.join();
  }

 private:
  EventLoop loop_;
  std::thread thread_;
};

class StoreSenderTest : public test::ScratchTest {
 protected:
  StoreSenderTest()
      : run_(store::RunDirectory::create(scratch() / "ours", "run", 1).value()),
        ledger_(run_.streams_jsonl()) {
    address_.path = (scratch() / "c.sock").string();
    writer_ = {.run_id = "run", .name = "node-0", .node = "node-a", .epoch = 1};
  }

  std::filesystem::path there(const std::string& path) const {
    return scratch() / "theirs" / "run" / path;
  }
  void append(const std::string& path, const std::string& text) {
    std::ofstream(run_.root() / path, std::ios::app | std::ios::binary) << text;
  }
  void put_run_json(const std::string& status) {
    ASSERT_TRUE(replace_file(run_.run_json(), R"({"status": ")" + status + R"("})"));
  }
  std::unique_ptr<StoreSender> start(std::optional<store::StoreBound> bound = std::nullopt) {
    StoreSenderSettings settings;
    settings.client = ClientSettings{.collector = address_, .writer = writer_};
    settings.bound = bound;
    auto sender = StoreSender::start(run_, std::move(settings));
    EXPECT_TRUE(sender) << sender.error().message;
    return std::move(*sender);
  }
  static bool comes_true(const std::function<bool()>& condition) {
    for (int i = 0; i < 3000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  static bool is_complete(const StoreSender& sender) {
    return comes_true([&] { return sender.progress().complete; });
  }

  store::RunDirectory run_;
  store::StreamLedger ledger_;
  Address address_;
  store::Writer writer_;
};

TEST_F(StoreSenderTest, ARunIsThereWhenItIsOver) {
  const Collector collector(scratch() / "theirs", address_);
  auto sender = start();
  put_run_json("running");
  append(kStdout, "one\n");
  sender->grown();
  EXPECT_TRUE(comes_true([&] { return read(there(kStdout)) == "one\n"; }));
  append(kStdout, "two\n");
  append("events.jsonl", "{}\n");
  ledger_.end(kStdout, {8, 8, ""});
  ASSERT_TRUE(ledger_.flush());
  put_run_json("succeeded");
  sender->close();
  ASSERT_TRUE(is_complete(*sender));
  EXPECT_EQ(read(there(kStdout)), "one\ntwo\n");
  EXPECT_EQ(read(there("events.jsonl")), "{}\n");
  EXPECT_EQ(read(there("run.json")), R"({"status": "succeeded"})");
  sender.reset();
  const auto upstream = read_upstream(run_);
  ASSERT_TRUE(upstream && *upstream);
  EXPECT_EQ(**upstream, (Upstream{address_.to_string(), true, 0}));
}

TEST_F(StoreSenderTest, ACollectorThatComesLateGetsEverything) {
  auto sender = start();
  append(kStdout, std::string(3 << 20, 'x'));
  sender->grown();
  EXPECT_TRUE(comes_true([&] { return sender->progress().unsent == 3U << 20; }));
  EXPECT_THAT(sender->unsent(4), SizeIs(1));
  EXPECT_FALSE(sender->progress().link.connected);
  sender->close();
  const Collector collector(scratch() / "theirs", address_);
  ASSERT_TRUE(is_complete(*sender));
  EXPECT_EQ(read(there(kStdout)).size(), 3U << 20);
}

TEST_F(StoreSenderTest, WhatIsDroppedIsTheSameGapThere) {
  store::StoreBound bound{.max_size = 1 << 20};
  auto sender = start(bound);
  append(kStdout, std::string(4 << 20, 'x'));
  sender->grown();
  EXPECT_TRUE(comes_true([&] { return sender->progress().dropped > 0; }));
  sender->close();
  const Collector collector(scratch() / "theirs", address_);
  ASSERT_TRUE(is_complete(*sender));
  const auto ours = store::read_ledger(run_.streams_jsonl());
  const auto theirs = store::read_ledger(there(".muster/streams.jsonl"));
  ASSERT_THAT(ours->at(kStdout).gaps, SizeIs(1));
  EXPECT_EQ(theirs->at(kStdout).gaps, ours->at(kStdout).gaps);
  EXPECT_EQ(theirs->at(kStdout).end->length, 4U << 20);
}

TEST_F(StoreSenderTest, WhatTheCollectorHasIsFreedAndNotLost) {
  const Collector collector(scratch() / "theirs", address_);
  auto sender = start(store::StoreBound{.max_size = 1 << 20, .blocks = true, .stall_budget = 1h});
  for (int i = 0; i < 8; ++i) {
    append(kStdout, std::string(1 << 20, static_cast<char>('a' + i)));
    sender->grown();
    EXPECT_TRUE(comes_true([&] { return sender->progress().unsent == 0; }));
  }
  EXPECT_TRUE(
      comes_true([&] { return store::read_ledger(run_.streams_jsonl())->count(kStdout) > 0; }));
  sender->close();
  ASSERT_TRUE(is_complete(*sender));
  EXPECT_EQ(sender->progress().dropped, 0U);
  const std::string stored = read(there(kStdout));
  ASSERT_EQ(stored.size(), 8U << 20);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(stored[(i << 20) + 5], static_cast<char>('a' + i));
}

TEST_F(StoreSenderTest, RanksWaitUntilTheCollectorHasTaken) {
  std::atomic<int> waits{0};
  std::atomic<int> goes_on{0};
  StoreSenderSettings settings;
  settings.client = ClientSettings{.collector = address_, .writer = writer_};
  settings.bound = store::StoreBound{.max_size = 1 << 20, .blocks = true, .stall_budget = 1h};
  settings.wait = [&](bool wait) { ++(wait ? waits : goes_on); };
  auto sender = StoreSender::start(run_, std::move(settings)).value();
  append(kStdout, std::string(4 << 20, 'x'));
  sender->grown();
  EXPECT_TRUE(comes_true([&] { return waits == 1; }));
  const Collector collector(scratch() / "theirs", address_);
  EXPECT_TRUE(comes_true([&] { return goes_on == 1; }));
  EXPECT_EQ(sender->progress().dropped, 0U);
}

TEST_F(StoreSenderTest, ANewerSenderOfTheSameStoreTakesOver) {
  const Collector collector(scratch() / "theirs", address_);
  auto older = start();
  append(kStdout, "one\n");
  older->grown();
  EXPECT_TRUE(comes_true([&] { return older->progress().link.connected; }));
  writer_.epoch = 2;
  auto newer = start();
  EXPECT_TRUE(comes_true([&] { return older->progress().superseded; }));
  newer->close();
  ASSERT_TRUE(is_complete(*newer));
  EXPECT_EQ(read(there(kStdout)), "one\n");
}

TEST_F(StoreSenderTest, StreamsOfAKilledLauncherEndUnknown) {
  append(kStdout, "one\n");
  append("ranks/00000/attempt-0/stderr.log", "");
  ledger_.end("ranks/00000/attempt-0/stderr.log", {0, 0, ""});
  ASSERT_TRUE(ledger_.flush());
  EXPECT_EQ(store::end_lost_streams(run_).value(), 1);
  EXPECT_EQ(store::end_lost_streams(run_).value(), 0);
  const Collector collector(scratch() / "theirs", address_);
  auto sender = start();
  sender->close();
  ASSERT_TRUE(is_complete(*sender));
  const auto theirs = store::read_ledger(there(".muster/streams.jsonl"));
  ASSERT_THAT(theirs->at(kStdout).gaps, SizeIs(1));
  EXPECT_EQ(theirs->at(kStdout).gaps[0], (store::Gap{4, std::nullopt, "launcher_lost"}));
}

TEST_F(StoreSenderTest, WithoutACollectorTheBoundIsKept) {
  StoreSenderSettings settings;
  settings.bound = store::StoreBound{.max_size = 1 << 20};
  auto sender = StoreSender::start(run_, std::move(settings)).value();
  append(kStdout, std::string(4 << 20, 'x'));
  sender->grown();
  EXPECT_TRUE(comes_true([&] { return sender->progress().dropped > 0; }));
  sender.reset();
  EXPECT_FALSE(std::filesystem::exists(run_.upstream_json()));
}

}  // namespace
}  // namespace muster::replication
