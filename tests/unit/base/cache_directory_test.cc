#include "base/cache_directory.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

TEST(CacheDirectory, IsTheFirstThatIsSet) {
  const auto found = [](const std::map<std::string, std::string>& environment) {
    const auto directory = cache_directory(environment);
    return directory ? directory->string() : directory.error().message;
  };
  EXPECT_EQ(found({{"MUSTER_CACHE_DIR", "/a"}, {"XDG_CACHE_HOME", "/b"}, {"HOME", "/c"}}), "/a");
  EXPECT_EQ(found({{"XDG_CACHE_HOME", "/b"}, {"HOME", "/c"}}), "/b/muster");
  EXPECT_EQ(found({{"XDG_CACHE_HOME", "relative"}, {"HOME", "/c"}}), "/c/.cache/muster");
  EXPECT_EQ(found({{"MUSTER_CACHE_DIR", ""}, {"HOME", "/c"}}), "/c/.cache/muster");
  EXPECT_EQ(found({}),
            "no place for a cache: MUSTER_CACHE_DIR, XDG_CACHE_HOME and HOME are not set");
}

}  // namespace
}  // namespace muster
