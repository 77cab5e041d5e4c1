#include "launcher/report/growth_watch.h"

#include <fstream>

#include "tests/support/scratch.h"

namespace muster::report {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class GrowthWatchTest : public test::ScratchTest {
 protected:
  void append() const { std::ofstream(scratch() / "f", std::ios::app) << "x"; }

  Clock::duration time_to_wait(std::chrono::milliseconds most) {
    const auto began = Clock::now();
    EXPECT_TRUE(watch_.wait(most));
    return Clock::now() - began;
  }

  Pipe output_ = std::move(*make_pipe());
  GrowthWatch watch_{output_.write_end.get()};
};

TEST_F(GrowthWatchTest, IsToldOfGrowth) {
  append();
  watch_.add_file(scratch() / "f");
  append();
  EXPECT_LT(time_to_wait(20s), 10s);
  watch_.note_growth();
  EXPECT_GE(time_to_wait(100ms), 100ms) << "it goes on being told";
}

TEST_F(GrowthWatchTest, IsToldOfAReplacedFile) {
  watch_.add_directory(scratch());
  EXPECT_FALSE(watch_.take_new_name());
  ASSERT_TRUE(replace_file(scratch() / "run.json", "{}"));
  EXPECT_LT(time_to_wait(20s), 10s);
  EXPECT_TRUE(watch_.take_new_name());
  EXPECT_FALSE(watch_.take_new_name());
}

TEST_F(GrowthWatchTest, LooksOftenWhereNobodyTells) {
  EXPECT_GE(time_to_wait(50ms), 50ms);
  watch_.note_growth();  // found without a word: another machine's
  EXPECT_LT(time_to_wait(20s), 10s);
}

TEST_F(GrowthWatchTest, LooksOftenWhereAFileCannotBeWatched) {
  watch_.add_file(scratch() / "missing");
  EXPECT_LT(time_to_wait(20s), 10s);
}

TEST_F(GrowthWatchTest, EndsWithTheReaderOfTheOutput) {
  output_.read_end.reset();
  const auto began = Clock::now();
  EXPECT_FALSE(watch_.wait(20s));
  EXPECT_FALSE(watch_.pause(20s));
  EXPECT_LT(Clock::now() - began, 10s);
}

}  // namespace
}  // namespace muster::report
