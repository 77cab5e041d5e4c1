#include "base/ip_network.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(IpNetwork, IsReadAndShown) {
  EXPECT_EQ(parse_ip_network("10.7.3.9/20")->text(), "10.7.0.0/20");
  EXPECT_EQ(parse_ip_network("10.7.3.9")->text(), "10.7.3.9/32");
  EXPECT_EQ(parse_ip_network("0.0.0.0/0")->text(), "0.0.0.0/0");
  EXPECT_EQ(parse_ip_network("fd00:1:2:3:4::9/64")->text(), "fd00:1:2:3::/64");
  EXPECT_EQ(parse_ip_network("fd00::9")->prefix, 128U);
}

TEST(IpNetwork, RefusesWhatIsNone) {
  for (const char* text : {"", "/", "10.0.0/24", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "eth0",
                           "10.0.0.0/24/24", "fd00::/129", "10.0.0.0/ 4"}) {
    EXPECT_FALSE(parse_ip_network(text)) << text;
  }
}

TEST(IpNetwork, KnowsItsAddresses) {
  const IpNetwork network = *parse_ip_network("10.7.0.0/20");
  EXPECT_TRUE(network.has(std::string("\x0a\x07\x0f\xff", 4)));
  EXPECT_FALSE(network.has(std::string("\x0a\x07\x10\x00", 4)));
  EXPECT_FALSE(network.has(std::string(16, '\0')));
}

TEST(IpText, CountsWhatIsNoAddress) {
  EXPECT_EQ(ip_text(std::string("\x0a\x07\x00\x01", 4)), "10.7.0.1");
  EXPECT_EQ(ip_text("abc"), "an address of 3 bytes");
}

}  // namespace
}  // namespace muster
