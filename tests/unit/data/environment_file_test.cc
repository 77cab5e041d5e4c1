#include "launcher/data/environment_file.h"

#include "tests/support/scratch.h"

namespace muster::data {
namespace {

TEST(EnvironmentFile, ReadsWhatShellsAndContainerToolsRead) {
  const auto read = parse_environment_file(
      "# a comment\r\n\nA=1\nexport B=\"two words\"\n  C='x'\nD=a=b\nE=\nF=\"\n", "x.env");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read,
            (Variables{
                {"A", "1"}, {"B", "two words"}, {"C", "x"}, {"D", "a=b"}, {"E", ""}, {"F", "\""}}));
}

TEST(EnvironmentFile, AnErrorNamesTheLineAndNotItsText) {
  for (const char* text : {"A=1\nhunter2\n", "A=1\n=hunter2\n", "A=1\nhunter2 x=y\n"}) {
    const auto read = parse_environment_file(text, "x.env");
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().message, "line 2 of x.env is no NAME=value");
    EXPECT_EQ(read.error().code, ErrorCode::kData);
  }
}

TEST(EnvironmentFile, ValuesAreTakenOutOfWhatIsShown) {
  EXPECT_EQ(without_values("login hunter2 at host x", {{"P", "hunter2"}, {"Q", "x"}}),
            "login … at host x");
}

class EnvironmentFileTest : public test::ScratchTest {};

TEST_F(EnvironmentFileTest, OneThatOthersMayReadIsWarnedOf) {
  EXPECT_EQ(check_permissions(write("mine", "A=1", 0600)), "");
  EXPECT_NE(check_permissions(write("ours", "A=1", 0640)).find("chmod 600"), std::string::npos);
  EXPECT_FALSE(read_environment_file(scratch() / "none"));
}

}  // namespace
}  // namespace muster::data
