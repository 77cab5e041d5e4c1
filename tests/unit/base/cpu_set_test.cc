#include "base/cpu_set.h"

#include <gtest/gtest.h>

namespace muster {
namespace {

std::string reprinted(std::string_view list) {
  const auto set = CpuSet::parse(list);
  return set ? set->to_string() : "error: " + set.error().message;
}

TEST(CpuSetTest, PrintsAsLinuxDoes) {
  EXPECT_EQ(CpuSet({}).to_string(), "");
  EXPECT_EQ(CpuSet({5}).to_string(), "5");
  EXPECT_EQ(CpuSet({1, 0}).to_string(), "0-1");
  EXPECT_EQ(CpuSet({0, 1, 2, 3, 8, 10, 11}).to_string(), "0-3,8,10-11");
}

TEST(CpuSetTest, ReadsWhatItPrints) {
  for (const std::string list : {"", "0", "0-3", "0-3,8", "1,3,5-7", "63-64,127-130,1048576"}) {
    EXPECT_EQ(reprinted(list), list);
  }
}

TEST(CpuSetTest, ReadsTheKernelsTrailingNewline) {
  EXPECT_EQ(reprinted("0-3,8\n"), "0-3,8");
  EXPECT_EQ(reprinted("\n"), "");
}

TEST(CpuSetTest, JoinsOverlapsAndAnyOrder) {
  EXPECT_EQ(reprinted("7,0-3,2-5"), "0-5,7");
  EXPECT_EQ(reprinted("3,3,3"), "3");
}

TEST(CpuSetTest, RefusesWhatIsNoList) {
  for (const std::string list : {",",
                                 "1,",
                                 "1,\n",
                                 ",1",
                                 "1,,2",
                                 "-",
                                 "-1",
                                 "1-",
                                 "1--2",
                                 "1-2-3",
                                 "3-1",
                                 "a",
                                 "1a",
                                 "0x1",
                                 "1 ",
                                 " 1",
                                 "1, 2",
                                 "+1",
                                 "1.5",
                                 "1\n2",
                                 "\n\n",
                                 "1\n\n",
                                 "1048577",
                                 "0-1048577",
                                 "99999999999999999999",
                                 "0-99999999999999999999"}) {
    const auto set = CpuSet::parse(list);
    ASSERT_FALSE(set) << "\"" << list << "\" was read as " << set->to_string();
    EXPECT_EQ(set.error().code, ErrorCode::kConfig);
    EXPECT_EQ(set.error().message, "\"" + list + "\" is not a list of CPUs");
  }
}

TEST(CpuSetTest, RefusesANulByte) {
  EXPECT_FALSE(CpuSet::parse(std::string_view("1\0", 2)));
  EXPECT_FALSE(CpuSet::parse(std::string_view("\0", 1)));
}

TEST(CpuSetTest, EqualityIsByContentNotByCapacity) {
  CpuSet wide({1, 500});
  const CpuSet narrow({1});
  EXPECT_NE(wide, narrow);
  EXPECT_EQ(wide.intersection(narrow), narrow);
}

TEST(CpuSetTest, CountsAndContains) {
  const CpuSet set({0, 2, 64});
  EXPECT_EQ(set.count(), 3);
  EXPECT_TRUE(set.contains(64));
  EXPECT_FALSE(set.contains(1));
  EXPECT_FALSE(set.contains(65));
  EXPECT_FALSE(set.contains(1 << 30));
  EXPECT_FALSE(set.contains(-1));
  EXPECT_TRUE(CpuSet().empty());
}

TEST(CpuSetTest, UnitesAndIntersects) {
  const CpuSet a({0, 1, 2});
  const CpuSet b({2, 3, 100});
  EXPECT_EQ(a.united(b).to_string(), "0-3,100");
  EXPECT_EQ(a.intersection(b).to_string(), "2");
  EXPECT_EQ(a.intersection(CpuSet()).to_string(), "");
}

}  // namespace
}  // namespace muster
