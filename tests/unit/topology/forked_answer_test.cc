#include "launcher/topology/forked_answer.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/process.h"

namespace muster::topology {
namespace {

using namespace std::chrono_literals;
using State = ForkedAnswer::State;

[[noreturn]] void hang() {
  while (true) ::pause();
}

TEST(ForkedAnswer, BringsALongTextWhole) {
  const std::string text(1'000'000, 'x');
  auto asked = ForkedAnswer::ask([&] { return text; }, 30s);
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->wait(), State::kAnswered);
  EXPECT_EQ(asked->text(), text);
  EXPECT_TRUE(children_of_this_process().empty()) << "it is reaped";
}

TEST(ForkedAnswer, SaysHowTheChildDied) {
  auto crashed = ForkedAnswer::ask([]() -> std::string { std::abort(); }, 30s);
  ASSERT_TRUE(crashed);
  EXPECT_EQ(crashed->wait(), State::kDied);
  EXPECT_NE(crashed->text().find("SIGABRT"), std::string::npos) << crashed->text();
  auto threw = ForkedAnswer::ask([]() -> std::string { throw std::runtime_error("no"); }, 30s);
  ASSERT_TRUE(threw);
  EXPECT_EQ(threw->wait(), State::kDied);
}

TEST(ForkedAnswer, KillsAChildThatDoesNotAnswer) {
  auto asked = ForkedAnswer::ask([]() -> std::string { hang(); }, 50ms);
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->poll(), State::kWaiting);
  EXPECT_EQ(asked->wait(), State::kTooLate);
  EXPECT_TRUE(children_of_this_process().empty());
}

TEST(ForkedAnswer, ForgottenTheChildIsGone) {
  {
    ASSERT_TRUE(ForkedAnswer::ask([]() -> std::string { hang(); }, 30s));
  }
  EXPECT_TRUE(children_of_this_process().empty());
}

// Else a rank's pipe would not end as long as a driver hangs.
TEST(ForkedAnswer, HoldsNoDescriptorOfOurs) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  auto asked = ForkedAnswer::ask(
      []() -> std::string {
        std::puts("nobody reads this");
        std::fflush(stdout);
        hang();
      },
      30s);
  ASSERT_TRUE(asked);
  pipe->write_end.reset();
  char byte = 0;
  EXPECT_EQ(::read(pipe->read_end.get(), &byte, 1), 0) << "end of file while the child lives";
  EXPECT_EQ(asked->poll(), State::kWaiting);
}

}  // namespace
}  // namespace muster::topology
