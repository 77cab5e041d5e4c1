#include "launcher/cli/check_streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

CommandLine line_of(const std::vector<std::string>& words,
                    const CallerEnvironment& environment = {}) {
  auto line = parse_command_line("validate", words, environment);
  EXPECT_TRUE(line) << line.error().message;
  return line.value_or(CommandLine{});
}

config::Streams to(const std::string& address) {
  config::Streams streams;
  streams.collector.value = address;
  return streams;
}

TEST(CheckStreams, ACollectorOnAUnixSocketNeedsNothingElse) {
  EXPECT_THAT(check_streams(to("unix:/run/c.sock"), line_of({"a.yaml"})), IsEmpty());
}

TEST(CheckStreams, TlsNeedsAToken) {
  const auto problems = check_streams(to("tls:host:9000"), line_of({"a.yaml"}));
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems[0].message, HasSubstr("tls: needs a token"));
  EXPECT_THAT(problems[0].hint, HasSubstr("--token-file"));
  EXPECT_THAT(check_streams(to("tls:host:9000"), line_of({"a.yaml", "--token-file", "t"})),
              IsEmpty());
  EXPECT_THAT(check_streams(to("tls:host:9000"), line_of({"a.yaml"}, {{"MUSTER_TOKEN_FILE", "t"}})),
              IsEmpty());
}

TEST(CheckStreams, TlsIsNeverInsecureAndTcpOnlyWhenAsked) {
  EXPECT_THAT(check_streams(to("tls:host:9000"), line_of({"a.yaml", "--insecure"})), SizeIs(1));
  EXPECT_THAT(check_streams(to("tcp:host:9000"), line_of({"a.yaml", "--insecure"})), IsEmpty());
  const auto problems = check_streams(to("tcp:host:9000"), line_of({"a.yaml"}));
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems[0].hint, HasSubstr("--insecure"));
}

TEST(CheckStreams, AnAddressThatNobodyCanCallIsRefused) {
  EXPECT_THAT(check_streams(to("host:9000"), line_of({"a.yaml"})), SizeIs(1));
  EXPECT_THAT(check_streams(to("tcp:host:0"), line_of({"a.yaml", "--insecure"})), SizeIs(1));
}

TEST(CheckStreams, ABoundLeavesRoomForSomething) {
  config::Streams streams;
  streams.max_size.value = 1000;
  EXPECT_THAT(check_streams(streams, line_of({"a.yaml"})), SizeIs(1));
  streams.max_size.value = 1 << 20;
  EXPECT_THAT(check_streams(streams, line_of({"a.yaml"})), IsEmpty());
}

TEST(CheckStreams, ABudgetForWaitingGoesWithBlock) {
  config::Streams streams;
  streams.stall_budget.origin.kind = config::Origin::Kind::kFlag;
  EXPECT_THAT(check_streams(streams, line_of({"a.yaml"})), SizeIs(1));
  streams.when_full.value = config::WhenFull::kBlock;
  EXPECT_THAT(check_streams(streams, line_of({"a.yaml"})), IsEmpty());
}

TEST(CheckStreams, WordsForACollectorWantOne) {
  EXPECT_THAT(check_streams({}, line_of({"a.yaml", "--token-file", "t"})), SizeIs(1));
  EXPECT_THAT(check_streams({}, line_of({"a.yaml", "--insecure"})), SizeIs(1));
  EXPECT_THAT(check_streams({}, line_of({"a.yaml"}, {{"MUSTER_TOKEN_FILE", "t"}})), IsEmpty());
}

}  // namespace
}  // namespace muster::cli
