#include "collector/store/digest.h"

#include <gtest/gtest.h>

namespace muster::store {
namespace {

TEST(Digest, IsXxh3Of128Bits) {
  EXPECT_EQ(digest_of(""), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, DoesNotDependOnHowBytesCome) {
  std::string bytes(300'000, '\0');
  for (std::size_t at = 0; at < bytes.size(); ++at) bytes[at] = static_cast<char>(at * 31 / 7);
  Digest digest;
  for (std::size_t at = 0; at < bytes.size(); at += 777) {
    digest.update(std::string_view(bytes).substr(at, 777));
  }
  EXPECT_EQ(digest.hex(), digest_of(bytes));
}

TEST(Digest, ZerosNeedNotBeThere) {
  Digest digest;
  digest.update("a");
  digest.update_zeros(200'000);
  EXPECT_EQ(digest.hex(), digest_of("a" + std::string(200'000, '\0')));
}

}  // namespace
}  // namespace muster::store
