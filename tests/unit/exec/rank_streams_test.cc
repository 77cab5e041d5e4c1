#include "launcher/exec/rank_streams.h"

#include <csignal>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// While it lives, no file may grow beyond `most` bytes: a full disk of this process alone.
class SmallFiles {
 public:
  explicit SmallFiles(rlim_t most) : old_action_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{most, old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallFiles() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_action_);
  }
  SmallFiles(const SmallFiles&) = delete;
  SmallFiles& operator=(const SmallFiles&) = delete;

 private:
  void (*old_action_)(int);
  rlimit old_limit_{};
};

class RankStreamsTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    auto run = store::RunDirectory::create(scratch() / "runs", "r1", 1);
    ASSERT_TRUE(run);
    run_.emplace(std::move(*run));
    callbacks_.grown = [this] { ++grown_; };
    callbacks_.ended = [this] {
      if (streams_->ended()) loop_.stop();
    };
    callbacks_.trouble = [this](const std::string& stream, const std::string& why) {
      failures_.push_back(stream + ": " + why);
    };
    callbacks_.recovered = [this](const std::string&) { ++recovered_; };
    callbacks_.gap = [this](const std::string& stream, const store::Gap& gap) {
      ledger_->gap(stream, gap);
    };
    callbacks_.has_room = [this] { return has_room_; };
    ledger_.emplace(run_->streams_jsonl());
    auto made = RankStreams::create(loop_, *run_, 0, 0, fifo(), true, callbacks_);
    ASSERT_TRUE(made) << made.error().message;
    streams_ = std::move(*made);
  }

  std::string fifo() const { return (scratch() / "metrics.0").string(); }

  void run_until_ended() {
    const auto guard = loop_.at(EventLoop::Clock::now() + 20s, [this] {
      ADD_FAILURE() << "the streams did not end";
      loop_.stop();
    });
    loop_.run();
  }

  static Fd another(const Fd& fd) { return Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); }

  std::string stored_stdout() const { return read(run_->rank_stdout(0, 0)); }

  std::optional<store::RunDirectory> run_;
  StreamCallbacks callbacks_;
  EventLoop loop_;
  std::unique_ptr<RankStreams> streams_;
  std::optional<store::StreamLedger> ledger_;
  std::vector<std::string> failures_;
  bool has_room_ = false;
  int recovered_ = 0;
  int grown_ = 0;
};

TEST_F(RankStreamsTest, EveryByteEndsInItsOwnFile) {
  std::string bytes;
  for (int i = 0; i < 5'000'000; ++i) bytes += static_cast<char>(i * 31 >> 3);
  Fd out = another(streams_->stdout_write_end());
  Fd err = another(streams_->stderr_write_end());
  streams_->close_write_ends();
  std::thread writer([&] {
    static_cast<void>(write_all(out, bytes));
    static_cast<void>(write_all(err, "an error"));
    out.reset();
    err.reset();
  });
  run_until_ended();
  writer.join();
  EXPECT_TRUE(stored_stdout() == bytes);
  EXPECT_EQ(read(run_->rank_stderr(0, 0)), "an error");
  EXPECT_TRUE(streams_->gaps().empty());
  EXPECT_GT(grown_, 0);
}

TEST_F(RankStreamsTest, WhatWasWrittenBeforeTheWriterDiedIsStored) {
  ASSERT_TRUE(write_all(streams_->stdout_write_end(), "last words"));
  streams_->close_write_ends();
  run_until_ended();
  EXPECT_EQ(stored_stdout(), "last words");
}

TEST_F(RankStreamsTest, AStreamThatSomebodyHoldsDoesNotEnd) {
  const Fd held = another(streams_->stdout_write_end());
  streams_->close_write_ends();
  const auto end = loop_.at(EventLoop::Clock::now() + 30ms, [this] { loop_.stop(); });
  loop_.run();
  EXPECT_FALSE(streams_->ended());
}

TEST_F(RankStreamsTest, ACutStoresWhatIsThereAndRecordsAGapOfUnknownLength) {
  const Fd held = another(streams_->stdout_write_end());
  streams_->close_write_ends();
  ASSERT_TRUE(write_all(held, "before the cut"));
  streams_->cut("drain_timeout");
  EXPECT_TRUE(streams_->ended());
  EXPECT_EQ(stored_stdout(), "before the cut");
  const auto gaps = streams_->gaps();
  ASSERT_EQ(gaps.size(), 1U) << "stderr was at its end: nothing of it is missing";
  EXPECT_EQ(gaps[0].stream, "ranks/00000/attempt-0/stdout.log");
  EXPECT_EQ(gaps[0].offset, 14U);
  EXPECT_EQ(gaps[0].length, std::nullopt);
  EXPECT_EQ(gaps[0].reason, "drain_timeout");
}

TEST_F(RankStreamsTest, MetricsComeThroughAFifoOfManyWriters) {
  for (const char* line : {"{\"a\": 1}\n", "{\"a\": 2}\n"}) {
    const auto writer = open_file(fifo(), O_WRONLY);  // does not wait for a reader
    ASSERT_TRUE(writer);
    ASSERT_TRUE(write_all(*writer, line));
  }
  streams_->finish_metrics();
  EXPECT_EQ(read(run_->rank_metrics(0, 0)), "{\"a\": 1}\n{\"a\": 2}\n");
  streams_->close_write_ends();
  run_until_ended();
  EXPECT_TRUE(streams_->gaps().empty()) << "the end of a FIFO is no gap";
}

TEST_F(RankStreamsTest, AFullDiskIsToldOnceDrainedOnAndCounted) {
  constexpr std::size_t kGiven = 400'000;
  constexpr std::size_t kFits = 100'000;
  {
    const SmallFiles limited(kFits);
    Fd out = another(streams_->stdout_write_end());
    streams_->close_write_ends();
    std::thread writer([&] {
      for (std::size_t i = 0; i < kGiven; i += 1000) {
        static_cast<void>(write_all(out, std::string(1000, 'x')));
      }
      out.reset();
    });
    run_until_ended();  // the rank is never blocked by our disk
    writer.join();
  }
  EXPECT_EQ(failures_.size(), 1U);
  streams_->record_ends(*ledger_);
  const auto gaps = streams_->gaps();
  ASSERT_EQ(gaps.size(), 1U);
  EXPECT_EQ(gaps[0].offset, kFits);
  EXPECT_EQ(gaps[0].length, kGiven - kFits);
  EXPECT_EQ(gaps[0].reason, "disk_full");
  EXPECT_EQ(streams_->problem(),
            "writing " + run_->rank_stdout(0, 0).string() + ": File too large");
  EXPECT_EQ(fs::file_size(run_->rank_stdout(0, 0)), kFits);
  ASSERT_TRUE(ledger_->flush());
  const auto records = store::read_ledger(run_->streams_jsonl());
  const store::StreamRecord& record = records->at("ranks/00000/attempt-0/stdout.log");
  EXPECT_EQ(record.gaps, (std::vector<store::Gap>{{kFits, kGiven, "disk_full"}}));
  EXPECT_EQ(record.end->length, kGiven);
  EXPECT_EQ(record.end->stored, kFits);
}

// With `block` the rank waits for room, and nothing is missing; when the budget is over it does not.
TEST_F(RankStreamsTest, ARankMayWaitForRoom) {
  constexpr std::size_t kGiven = 1'000'000;
  for (const bool there_will_be_room : {true, false}) {
    SCOPED_TRACE(there_will_be_room);
    streams_.reset();
    ASSERT_TRUE(remove_tree(run_->streams() / "00000"));
    ASSERT_TRUE(make_directories(run_->streams() / "00000/attempt-0"));
    ::unlink(fifo().c_str());
    callbacks_.policy.when_full = store::StreamPolicy::WhenFull::kBlock;
    callbacks_.policy.stall_budget = there_will_be_room ? 60s : 300ms;
    has_room_ = false;
    auto made = RankStreams::create(loop_, *run_, 0, 0, fifo(), 0, callbacks_);
    ASSERT_TRUE(made) << made.error().message;
    streams_ = std::move(*made);
    auto limited = std::make_optional<SmallFiles>(100'000);
    Fd out = another(streams_->stdout_write_end());
    streams_->close_write_ends();
    std::thread writer([&] {
      for (std::size_t i = 0; i < kGiven; i += 1000) {
        static_cast<void>(write_all(out, std::string(1000, 'x')));
      }
      out.reset();
    });
    EventLoop::Watch room;
    if (there_will_be_room) {
      room = loop_.at(EventLoop::Clock::now() + 500ms, [&] {
        EXPECT_FALSE(streams_->ended()) << "it waits";
        limited.reset();
        has_room_ = true;
      });
    }
    run_until_ended();
    writer.join();
    streams_->record_ends(*ledger_);
    EXPECT_EQ(streams_->gaps().empty(), there_will_be_room);
    if (there_will_be_room) {
      EXPECT_EQ(stored_stdout(), std::string(kGiven, 'x'));
    }
  }
}

TEST_F(RankStreamsTest, AnAttemptIsStoredOnce) {
  const auto again = RankStreams::create(loop_, *run_, 0, 0, fifo(), true, callbacks_);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kRunDirectory);
}

}  // namespace
}  // namespace muster::exec
