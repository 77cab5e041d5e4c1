#include "collector/replication/address.h"

#include <gtest/gtest.h>

namespace muster::replication {
namespace {

TEST(Address, HasThreeForms) {
  const auto local = parse_address("unix:/run/muster/collector.sock");
  ASSERT_TRUE(local);
  EXPECT_EQ(local->transport, Transport::kUnix);
  EXPECT_EQ(local->path, "/run/muster/collector.sock");
  const auto plain = parse_address("tcp:node-0:7700");
  ASSERT_TRUE(plain);
  EXPECT_EQ(*plain, (Address{Transport::kTcp, "", "node-0", 7700}));
  const auto six = parse_address("tls:[fe80::1]:0");
  ASSERT_TRUE(six);
  EXPECT_EQ(*six, (Address{Transport::kTls, "", "fe80::1", 0}));
  for (const auto* text : {"unix:a", "tcp:node-0:7700", "tls:[fe80::1]:0"}) {
    EXPECT_EQ(parse_address(text)->to_string(), text);
  }
}

TEST(Address, SaysWhatIsWrong) {
  for (const auto* text : {"", "node-0:7700", "unix:", "http:a:1", "tcp:a", "tcp::1", "tcp:a:x",
                           "tcp:a:65536", "tcp:a:-1", "tcp:fe80::1:7700", "tls:a:"}) {
    const auto refused = parse_address(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
    EXPECT_NE(refused.error().hint.find("unix:PATH"), std::string::npos);
  }
}

}  // namespace
}  // namespace muster::replication
