#include "launcher/python_env/requirement_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/scratch.h"

namespace muster::python_env {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class RequirementFiles : public test::ScratchTest {
 protected:
  std::string at(const std::string& name) const { return (scratch() / name).string(); }
};

TEST_F(RequirementFiles, AreReadWithWhatTheyInclude) {
  write("requirements.txt", "a\n-r deep/more.txt\n-c https://h/c.txt\n");
  write("deep/more.txt", "-c ../limits.txt\n-r ../requirements.txt\n");
  write("limits.txt", "b<2\n");
  const auto files = read_requirement_files(at("requirements.txt"));
  ASSERT_TRUE(files) << files.error().message;
  std::vector<std::string> paths;
  for (const auto& file : *files) paths.push_back(file.path);
  EXPECT_THAT(paths, ElementsAre(at("requirements.txt"), at("deep/more.txt"), at("limits.txt")));
}

TEST_F(RequirementFiles, ThatAreMissingAreNamedWithWhoNamesThem) {
  write("requirements.txt", "-r more.txt\n");
  const auto files = read_requirement_files(at("requirements.txt"));
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().code, ErrorCode::kConfig);
  EXPECT_THAT(files.error().message, HasSubstr("more.txt"));
  EXPECT_THAT(files.error().message, HasSubstr(at("requirements.txt") + " includes"));
}

TEST_F(RequirementFiles, WordsGetFullPaths) {
  write("config/wheels/a.whl", "");
  write("source/pkg/setup.py", "");
  const std::vector<std::string> directories = {at("source"), at("config")};
  const auto full = [&](const std::string& word, const std::string& after = "") {
    return with_full_path(word, after, directories);
  };
  EXPECT_EQ(full("./pkg"), at("source/pkg"));
  EXPECT_EQ(full("-e ./pkg"), "-e " + at("source/pkg"));
  EXPECT_EQ(full("./wheels", "--find-links"), at("config/wheels"));
  EXPECT_EQ(full("wheels", "-f"), at("config/wheels"));
  EXPECT_EQ(full("--find-links=wheels"), "--find-links=" + at("config/wheels"));
  EXPECT_EQ(full("wheels", "--proxy"), "wheels");
  EXPECT_EQ(full("numpy"), "numpy");
  EXPECT_EQ(full("./missing"), "./missing");
  EXPECT_EQ(full("https://h/x", "-f"), "https://h/x");
}

TEST_F(RequirementFiles, SeeTheLocalPackagesThatAreAskedFor) {
  write("wheels/tiny_pack-1.whl", "abc");
  write("wheels/other-1.whl", "abc");
  const std::vector<std::string> links = {"wheels", "https://h", "/nowhere"};
  const auto look = [&] {
    return look_at_local_packages({"tiny-pack>=1", "./pkg"}, links, scratch().string());
  };
  EXPECT_THAT(look(), ElementsAre(HasSubstr("tiny_pack-1.whl 3 ")));
  write("pkg/setup.py", "1");
  const auto before = look();
  EXPECT_THAT(before, SizeIs(2));
  write("pkg/more.py", "");
  EXPECT_NE(look(), before);
}

}  // namespace
}  // namespace muster::python_env
