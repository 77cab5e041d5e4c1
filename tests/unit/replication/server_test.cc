// A collector and its senders over real sockets.

#include "collector/replication/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <future>
#include <thread>

#include "base/files.h"
#include "base/unix_socket.h"
#include "collector/replication/client.h"
#include "collector/replication/dialer.h"
#include "memory_store.h"

namespace muster::replication {
namespace {

using testing::HasSubstr;
using namespace std::chrono_literals;

constexpr auto kPatience = 60s;

bool wait_for(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

std::shared_ptr<const TokenKeys> keys(const std::string& token) {
  return std::make_shared<const TokenKeys>(keys_of(token));
}

// A collector on a thread of its own; its streams outlive a restart.
class Collector {
 public:
  explicit Collector(ServerSettings settings) : settings_(std::move(settings)) { start(); }
  ~Collector() { stop(); }

  void start() {
    settings_.log = [this](const std::string& line) { log_ += line + "\n"; };
    loop_ = std::make_unique<EventLoop>();
    post_ = [this](std::function<void()> done) {
      loop_->post([this, done = std::move(done)] {
        done();
        if (server_) server_->store_changed();
      });
    };
    if (!store_) {
      store_ = std::make_unique<MemoryStore>([this](std::function<void()> done) { post_(done); });
    }
    server_ = CollectorServer::listen(*loop_, *store_, settings_).value();
    settings_.listen = server_->address();  // the same port again
    thread_ = std::thread([this] { loop_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    on_loop([this] { server_->shut_down([this] { loop_->stop(); }); });
    thread_.join();
    server_.reset();
  }
  void on_loop(std::function<void()> work) {
    std::promise<void> done;
    loop_->post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::string stored(const std::string& name) {
    std::string bytes;
    on_loop([&] {
      const auto found = store_->streams().find(name);
      if (found != store_->streams().end()) bytes = found->second.bytes;
    });
    return bytes;
  }
  std::size_t stored_streams() {
    std::size_t count = 0;
    on_loop([&] { count = store_->streams().size(); });
    return count;
  }
  std::string log() {
    std::string text;
    on_loop([&] { text = log_; });
    return text;
  }
  Address address() const { return settings_.listen; }

 private:
  ServerSettings settings_;
  std::string log_;
  MemoryStore::Post post_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<MemoryStore> store_;
  std::unique_ptr<CollectorServer> server_;
  std::thread thread_;
};

std::string text_of(std::size_t size, std::uint32_t seed) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>((seed = seed * 1664525U + 1013904223U) >> 24);
  return text;
}

// A run with two streams.
class SentRun {
 public:
  explicit SentRun(ClientSettings settings, std::size_t size = 3U << 20)
      : source_({text_of(size, 1), text_of(1000, 2)}) {
    settings.writer = {
        .run_id = "run-1", .name = "node-0", .node = "n", .lowest_rank = 0, .epoch = 1};
    client_ = SenderClient::start(std::move(settings), source_, [this](Sender& sender) {
                sender.take_events();
                if (sender.all_complete() && added_) complete_ = true;
              }).value();
  }
  void send() {
    client_->call([this](Sender& sender) {
      const char* names[] = {"ranks/00000/attempt-0/stdout.log", "outputs/model.bin"};
      const store::StreamKind kinds[] = {store::StreamKind::kStdout, store::StreamKind::kFile};
      for (std::size_t i = 0; i < 2; ++i) {
        const StreamNumber number = sender.add({.path = names[i], .kind = kinds[i]});
        sender.grown(number, source_.of(number).size());
        sender.ended(number, {.length = source_.of(number).size(), .digest = "", .commit = true});
      }
      added_ = true;
    });
  }
  bool complete() const { return complete_; }
  bool arrived_at(Collector& collector) {
    return collector.stored("run-1/ranks/00000/attempt-0/stdout.log") == source_.of(0) &&
           collector.stored("run-1/outputs/model.bin") == source_.of(1);
  }
  SenderClient& client() { return *client_; }

 private:
  MemorySource source_;
  std::atomic<bool> added_ = false;
  std::atomic<bool> complete_ = false;
  std::unique_ptr<SenderClient> client_;
};

class CollectorServerOn : public testing::TestWithParam<const char*> {
 protected:
  TemporaryDirectory directory_ =
      TemporaryDirectory::create(testing::TempDir(), "muster-collector").value();
  const std::string token_ = make_token();

  Address address() const {
    const std::string form = GetParam();
    return parse_address(form == "unix" ? "unix:" + (directory_.path() / "s").string()
                                        : form + ":127.0.0.1:0")
        .value();
  }
  ServerSettings server() const {
    ServerSettings settings;
    settings.listen = address();
    settings.keys = keys(token_);
    return settings;
  }
  ClientSettings client(const Collector& collector) const {
    return {
        .collector = collector.address(), .keys = keys(token_), .insecure = false, .writer = {}};
  }
};

TEST_P(CollectorServerOn, GetsEverythingThatIsSent) {
  Collector collector(server());
  SentRun run(client(collector));
  run.client().open_bulk();
  run.send();
  ASSERT_TRUE(wait_for([&] { return run.complete(); })) << collector.log();
  EXPECT_TRUE(run.arrived_at(collector));
  EXPECT_TRUE(run.client().state().connected);
  EXPECT_FALSE(run.client().state().trouble);
}

TEST_P(CollectorServerOn, IsFoundAgainAfterARestart) {
  auto collector = std::make_unique<Collector>(server());
  SentRun run(client(*collector), 8U << 20);
  ASSERT_TRUE(wait_for([&] { return run.client().state().connected; }));
  collector->stop();
  ASSERT_TRUE(wait_for([&] { return !run.client().state().connected; }));
  EXPECT_TRUE(run.client().state().trouble);
  run.send();
  collector->start();
  ASSERT_TRUE(wait_for([&] { return run.complete(); })) << collector->log();
  EXPECT_TRUE(run.arrived_at(*collector));
}

TEST_P(CollectorServerOn, TakesNothingOfAnotherToken) {
  Collector collector(server());
  ClientSettings wrong = client(collector);
  wrong.keys = keys(make_token());
  SentRun run(std::move(wrong));
  run.send();
  ASSERT_TRUE(wait_for([&] { return run.client().state().trouble.has_value(); }));
  const ClientState state = run.client().state();
  EXPECT_FALSE(state.connected);
  EXPECT_TRUE(state.refused) << state.trouble->message;
  EXPECT_EQ(state.trouble->code, ErrorCode::kPermission) << state.trouble->message;
  EXPECT_EQ(state.trouble->message, "the collector refuses: the run token is another one");
  EXPECT_TRUE(state.answers);
  EXPECT_EQ(collector.stored_streams(), 0U);
  // It tells the client before it tells its log.
  EXPECT_TRUE(wait_for([&] { return collector.log().find("refused") != std::string::npos; }));
  EXPECT_THAT(collector.log(), testing::Not(HasSubstr(token_.substr(0, 16))));
}

TEST_P(CollectorServerOn, IsThereForItsOwnAmongStrangers) {
  ServerSettings settings = server();
  settings.strangers = 16;
  Collector collector(std::move(settings));
  // Idle ones, ones that say nonsense, ones that begin well and stop.
  std::vector<Fd> strangers;
  EventLoop loop;
  for (int i = 0; i < 120; ++i) {
    std::promise<Result<Fd>> made;
    const Dialer dialer(loop, collector.address(), 5000ms, [&](Result<Fd> socket) {
      made.set_value(std::move(socket));
      loop.stop();
    });
    loop.run();
    auto socket = made.get_future().get();
    ASSERT_TRUE(socket) << socket.error().message;
    const std::string says = i % 3 == 0   ? ""
                             : i % 3 == 1 ? text_of(3000, static_cast<std::uint32_t>(i))
                                          : "MUSTER\r\n";
    static_cast<void>(::send(socket->get(), says.data(), says.size(), MSG_NOSIGNAL));
    strangers.push_back(std::move(*socket));
  }
  SentRun run(client(collector), 1U << 20);
  run.send();
  ASSERT_TRUE(wait_for([&] { return run.complete(); })) << collector.log();
  EXPECT_TRUE(run.arrived_at(collector));
  // No more than 16 of them are still held.
  std::size_t held = 0;
  ASSERT_TRUE(wait_for([&] {
    held = 0;
    for (const Fd& socket : strangers) {
      char byte = 0;
      const ssize_t got = ::recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) ++held;
    }
    return held <= 16;
  })) << held;
}

TEST_P(CollectorServerOn, GivesAStrangerFiveSecondsAtMost) {
  ServerSettings settings = server();
  settings.handshake_limit = 200ms;
  Collector collector(std::move(settings));
  EventLoop loop;
  std::promise<Result<Fd>> made;
  const Dialer dialer(loop, collector.address(), 5000ms, [&](Result<Fd> socket) {
    made.set_value(std::move(socket));
    loop.stop();
  });
  loop.run();
  const Fd socket = made.get_future().get().value();
  pollfd ended{socket.get(), POLLIN | POLLHUP, 0};
  EXPECT_EQ(::poll(&ended, 1, 60'000), 1);
  char byte = 0;
  EXPECT_LE(::recv(socket.get(), &byte, 1, 0), 0);
}

INSTANTIATE_TEST_SUITE_P(Every, CollectorServerOn, testing::Values("unix", "tcp", "tls"),
                         [](const auto& each) { return std::string(each.param); });

TEST(CollectorServer, IsNotOpenToEverybodyByMistake) {
  EventLoop loop;
  MemoryStore store([](const auto&) {});
  for (const char* text : {"tcp:127.0.0.1:0", "tls:127.0.0.1:0"}) {
    ServerSettings settings;
    settings.listen = parse_address(text).value();
    const auto server = CollectorServer::listen(loop, store, std::move(settings));
    ASSERT_FALSE(server) << text;
    EXPECT_EQ(server.error().code, ErrorCode::kUsage);
    MemorySource source({});
    ClientSettings client;
    client.collector = parse_address(text).value();
    EXPECT_FALSE(SenderClient::start(std::move(client), source, [](Sender&) {})) << text;
  }
}

TEST(CollectorServer, HasASocketOfItsOwn) {
  const auto directory = TemporaryDirectory::create(testing::TempDir(), "muster-socket").value();
  const std::string path = directory.path() / "s";
  EventLoop loop;
  MemoryStore store([](const auto&) {});
  const auto listen = [&] {
    ServerSettings settings;
    settings.listen = {Transport::kUnix, path, "", 0};
    return CollectorServer::listen(loop, store, std::move(settings));
  };
  {
    const Fd left_behind = listen_unix(path, 1).value();  // by a collector that was killed
  }
  auto first = listen();
  ASSERT_TRUE(first) << first.error().message;
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const auto second = listen();
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().hint, HasSubstr("another collector"));
  first->reset();
  EXPECT_NE(::stat(path.c_str(), &status), 0) << "it goes with its collector";
}

TEST(Backoff, GrowsAtRandomWithinItsBounds) {
  std::uint64_t state = 7;
  Backoff backoff([&](std::uint64_t below) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (state >> 33) % below;
  });
  std::chrono::milliseconds longest{0};
  for (int i = 0; i < 200; ++i) {
    const auto wait = backoff.next();
    EXPECT_GE(wait, Backoff::kLeast);
    EXPECT_LE(wait, Backoff::kMost);
    longest = std::max(longest, wait);
  }
  EXPECT_GT(longest, 1s);
  backoff.reset();
  EXPECT_LE(backoff.next(), 300ms);
}

}  // namespace
}  // namespace muster::replication
