#include "launcher/plan/requirement_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::plan {
namespace {

using ::testing::ElementsAre;

TEST(RequirementText, NamesWhatIsAskedFor) {
  EXPECT_EQ(distribution_name("NumPy"), "numpy");
  EXPECT_EQ(distribution_name("Torch_Vision[extra] >= 0.2 ; python_version > '3'"), "torch-vision");
  EXPECT_EQ(distribution_name("pkg @ https://host/pkg.whl"), "pkg");
  for (const char* other : {"-r more.txt", "--no-index", "./pkg", "/w/a-1.whl", "https://h/a.whl",
                            "git+https://h/a", "a-1.0-py3-none-any.whl", ""}) {
    EXPECT_EQ(distribution_name(other), "") << other;
  }
  EXPECT_EQ(distribution_of_file("Tiny_Pack-1.2-py3-none-any.whl"), "tiny-pack");
}

TEST(RequirementText, ReadsLinesAsPipDoes) {
  EXPECT_THAT(requirement_lines("# a\n a==1 # why\r\n\nb \\\n >= 2\nhttp://h/x#egg=c\nd"),
              ElementsAre("a==1", "b  >= 2", "http://h/x#egg=c", "d"));
  EXPECT_EQ(option_value("-r more.txt", "-r", "--requirement"), "more.txt");
  EXPECT_EQ(option_value("-rmore.txt", "-r", "--requirement"), "more.txt");
  EXPECT_EQ(option_value("--requirement=more.txt", "-r", "--requirement"), "more.txt");
  EXPECT_EQ(option_value("requests", "-r", "--requirement"), std::nullopt);
  EXPECT_EQ(option_value("--requirements x", "-r", "--requirement"), std::nullopt);
}

TEST(RequirementText, FindsLocalPaths) {
  EXPECT_EQ(local_path("./pkg"), "./pkg");
  EXPECT_EQ(local_path("-e ../pkg[extra]"), "../pkg");
  EXPECT_EQ(local_path("a @ file:///w/a.whl"), "/w/a.whl");
  EXPECT_EQ(local_path("a @ https://h/a.whl"), "");
  EXPECT_EQ(local_path("-e git+https://h/a"), "");
  EXPECT_EQ(local_path("numpy>=1"), "");
}

TEST(RequirementText, TurnsCondaSpecsIntoPips) {
  EXPECT_EQ(pip_requirement_of("conda-forge::numpy=1.16"), "numpy==1.16.*");
  EXPECT_EQ(pip_requirement_of("numpy==1.16.2"), "numpy==1.16.2");
  EXPECT_EQ(pip_requirement_of("numpy=1.16.2=py36_0"), "numpy==1.16.2");
  EXPECT_EQ(pip_requirement_of("scikit-learn >=0.20, <0.22"), "scikit-learn>=0.20,<0.22");
  EXPECT_EQ(pip_requirement_of("pytorch"), "torch");
  EXPECT_EQ(pip_requirement_of("python=3.6.2"), std::nullopt);
  EXPECT_EQ(pip_requirement_of("cudatoolkit=10.1"), std::nullopt);
  EXPECT_EQ(python_version_of("python=3.6.2"), "==3.6.2.*");
  EXPECT_EQ(python_version_of("python"), "");
  EXPECT_EQ(python_version_of("python-dateutil=2"), std::nullopt);
}

TEST(RequirementText, ComparesVersions) {
  EXPECT_EQ(version_fits("3.11.2", "==3.11.*"), true);
  EXPECT_EQ(version_fits("3.11.2", "==3.6.2.*"), false);
  EXPECT_EQ(version_fits("3.6.2", "==3.6.2.*"), true);
  EXPECT_EQ(version_fits("3.8", "==3.8.0"), true);
  EXPECT_EQ(version_fits("3.11.2", ">=3.8,<3.11"), false);
  EXPECT_EQ(version_fits("3.11.2", ">=3.8,!=3.9.1"), true);
  EXPECT_EQ(version_fits("23.0.1", ">=22.3"), true);
  EXPECT_EQ(version_fits("3.11.2", "~=3.8"), std::nullopt);
  EXPECT_EQ(version_fits("3.13rc1", ">=3"), std::nullopt);
}

}  // namespace
}  // namespace muster::plan
