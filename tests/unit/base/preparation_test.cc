#include "base/preparation.h"

#include <gmock/gmock.h>

#include <csignal>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/files.h"
#include "tests/support/scratch.h"

namespace muster {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class FakeStops : public StopSource {
 public:
  std::vector<int> fds() const override { return {event_.get()}; }
  const std::optional<StopAsked>& poll() override { return asked_; }
  void ask() {
    asked_ = StopAsked{SIGTERM, "SIGTERM"};
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(event_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  }

 private:
  Fd event_{::eventfd(0, EFD_CLOEXEC)};
  std::optional<StopAsked> asked_;
};

HelperTask shell(const std::string& name, const std::string& script,
                 const std::filesystem::path& log = {}) {
  HelperTask task;
  task.name = name;
  task.spec.program = "/bin/sh";
  task.spec.argv = {"sh", "-c", script};
  task.log = log;
  return task;
}

class PreparationTest : public test::ScratchTest {
 protected:
  FakeStops stops_;
  Preparation preparation_{stops_};
};

TEST_F(PreparationTest, RunsTasksBesideEachOtherUntilAllHaveEnded) {
  const auto fifo = (scratch() / "fifo").string();
  // Each waits for the other.
  ASSERT_TRUE(preparation_.run({shell("first", "mkfifo " + fifo + "; echo word > " + fifo),
                                shell("second", "while [ ! -p " + fifo +
                                                    " ]; do sleep 0.01; done; "
                                                    "read word < " +
                                                    fifo + "; test $word = word")}));
}

TEST_F(PreparationTest, HandsOutTheLinesOfATask) {
  std::vector<std::string> lines;
  HelperTask task = shell("lines", "printf 'a\\n\\nb\\rc'");
  task.on_line = [&](std::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(preparation_.run({task}));
  EXPECT_THAT(lines, ElementsAre("a", "b", "c"));
}

TEST_F(PreparationTest, SaysWhichTaskFailedWithItsLastWordsAndEndsTheOthers) {
  const auto log = scratch() / "log";
  ASSERT_TRUE(replace_file(log, "of another run\n"));
  const auto began = Preparation::Clock::now();
  const auto result =
      preparation_.run({shell("waiting", "exec sleep 1000"),
                        shell("mounting digits", "echo no route >&2; exit 3", log)});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kData);
  EXPECT_EQ(result.error().message,
            "mounting digits: sh exited with 3; its last words:\n    no route");
  EXPECT_LT(Preparation::Clock::now() - began, 60s);
}

TEST_F(PreparationTest, KillsWhatIgnoresTheEnd) {
  HelperTask task = shell("stubborn", "trap '' TERM; while :; do sleep 0.1; done");
  task.deadline = 200ms;
  const auto result = preparation_.run({task});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("stubborn: it took longer than 200 ms"));
}

TEST_F(PreparationTest, EndsWhenAStopIsAskedFor) {
  HelperTask task = shell("waiting", "echo up; exec sleep 1000");
  task.on_line = [&](std::string_view) { stops_.ask(); };
  const auto result = preparation_.run({task});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kStopped);
  EXPECT_EQ(result.error().message, "stopped by SIGTERM");
  EXPECT_FALSE(preparation_.check_stop());
}

TEST_F(PreparationTest, EndsATaskWhoseCheckFails) {
  HelperTask task = shell("slow", "exec sleep 1000");
  task.check = [] { return Result<>(fail(ErrorCode::kData, "no byte came for 1 s")); };
  const auto result = preparation_.run({task});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "slow: no byte came for 1 s");
}

TEST_F(PreparationTest, SaysThatAProgramIsNotThere) {
  HelperTask task = shell("mounting", "");
  task.spec.program = "/no/such/program";
  task.hint = "install it";
  const auto result = preparation_.run({task});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("No such file"));
  EXPECT_EQ(result.error().hint, "install it");
}

TEST_F(PreparationTest, WaitsUntilSomethingIsReady) {
  int looks = 0;
  const auto ready = preparation_.wait_until([&] { return Result<bool>(++looks == 3); },
                                             Preparation::Clock::now() + 60s);
  ASSERT_TRUE(ready);
  EXPECT_TRUE(*ready);
  const auto late =
      preparation_.wait_until([] { return Result<bool>(false); }, Preparation::Clock::now() + 50ms);
  ASSERT_TRUE(late);
  EXPECT_FALSE(*late);
}

}  // namespace
}  // namespace muster
