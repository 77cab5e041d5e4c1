#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "tests/unit/config/config_fixture.h"

namespace muster::config {
namespace {

namespace fs = std::filesystem;

class CheckPaths : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "muster-check-paths-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    fs::create_directories(root_ / "configs/src/package");
    std::ofstream(root_ / "configs/src/train.py") << "print()\n";
    std::ofstream(root_ / "here.py") << "print()\n";
  }

  void TearDown() override {
    if (!HasFailure()) fs::remove_all(root_);
  }

  // Problems with the temporary directory's name replaced by ROOT.
  std::string check(const std::string& text) {
    auto config = read_config(text, "run.yaml", (root_ / "configs").string(), {});
    if (!config) return text_of(config.error());
    std::string said = text_of(check_paths(*config, root_.string()));
    for (std::size_t at = 0; (at = said.find(root_.string())) != std::string::npos;) {
      said.replace(at, root_.string().size(), "ROOT");
    }
    return said;
  }

  fs::path root_;
};

TEST_F(CheckPaths, AcceptsAScriptInTheSourceDirectoryBesideTheConfig) {
  EXPECT_EQ(check("source_directory: src\nentry_script: train.py\n"), "");
}

TEST_F(CheckPaths, LooksBesideTheConfigWithoutASourceDirectory) {
  EXPECT_EQ(check("entry_script: src/train.py\n"), "");
  EXPECT_THAT(check("entry_script: here.py\n"),
              testing::HasSubstr("ROOT/configs/here.py does not"));
}

TEST_F(CheckPaths, AcceptsAnAbsoluteScript) {
  EXPECT_EQ(check("source_directory: src\nentry_script: " + (root_ / "here.py").string() + "\n"),
            "");
}

TEST_F(CheckPaths, NamesAMissingScriptAndOneLikeIt) {
  EXPECT_EQ(check("source_directory: src\nentry_script: trian.py\n"),
            "muster: error: entry_script: ROOT/configs/src/trian.py does not exist\n"
            "  run.yaml:2:15: entry_script: trian.py\n"
            "                               ^\n"
            "  hint: did you mean \"train.py\"?\n");
}

TEST_F(CheckPaths, SaysFromWhereAScriptCountsWhenNothingIsLikeIt) {
  EXPECT_EQ(check("entry_script: evaluate_everything.py\n"),
            "muster: error: entry_script: ROOT/configs/evaluate_everything.py does not exist\n"
            "  run.yaml:1:15: entry_script: evaluate_everything.py\n"
            "                               ^\n"
            "  hint: the path counts from the directory of the config; set source_directory to the "
            "directory of the script\n");
}

TEST_F(CheckPaths, SaysThatAScriptIsADirectory) {
  EXPECT_EQ(check("source_directory: src\nentry_script: package\n"),
            "muster: error: entry_script: ROOT/configs/src/package is a directory\n"
            "  run.yaml:2:15: entry_script: package\n"
            "                               ^\n"
            "  hint: name the script in it\n");
}

TEST_F(CheckPaths, RefusesAScriptThatIsNoFile) {
  ASSERT_EQ(::mkfifo((root_ / "configs/pipe").c_str(), 0600), 0);
  EXPECT_THAT(check("entry_script: pipe\n"),
              testing::HasSubstr("ROOT/configs/pipe is not a regular file"));
}

TEST_F(CheckPaths, RefusesAScriptOutsideTheSourceDirectoryThatIsCopied) {
  EXPECT_THAT(check("source_directory: src\nentry_script: package/../../train.py\n"),
              testing::HasSubstr("\"package/../../train.py\" leaves source_directory"));
  std::ofstream(root_ / "configs/src/..odd.py") << "\n";
  EXPECT_EQ(check("source_directory: src\nentry_script: ..odd.py\n"), "");
}

TEST_F(CheckPaths, NamesAMissingSourceDirectory) {
  EXPECT_EQ(check("source_directory: sources\nentry_script: train.py\n"),
            "muster: error: source_directory: ROOT/configs/sources does not exist\n"
            "  run.yaml:1:19: source_directory: sources\n"
            "                                   ^\n"
            "  hint: the path counts from the directory of the config\n");
}

TEST_F(CheckPaths, RefusesASourceDirectoryThatIsAFile) {
  EXPECT_THAT(check("source_directory: src/train.py\nentry_script: train.py\n"),
              testing::HasSubstr("ROOT/configs/src/train.py is not a directory"));
}

TEST_F(CheckPaths, HasNothingToLookAtForACommand) {
  EXPECT_EQ(check("command: python3 nothing.py\n"), "");
}

TEST_F(CheckPaths, MissingFilesAreToldWithAllOtherProblems) {
  const auto config = read_config(
      "source_directory: src\nentry_script: trian.py\nlimits: {join_timeout: x}\n", "run.yaml",
      (root_ / "configs").string(), {},
      {.check = [&](const RunConfig& found) { return check_paths(found, root_.string()); }});
  ASSERT_FALSE(config);
  ASSERT_EQ(config.error().size(), 2U);
  EXPECT_THAT(config.error()[0].message, testing::HasSubstr("trian.py does not exist"));
  EXPECT_THAT(config.error()[1].message, testing::HasSubstr("\"x\" is not a duration"));
}

TEST_F(CheckPaths, ASettingThatCouldNotBeReadIsNotLookedFor) {
  const auto config = read_config(
      "entry_script: [a, b]\n", "run.yaml", (root_ / "configs").string(), {},
      {.check = [&](const RunConfig& found) { return check_paths(found, root_.string()); }});
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().size(), 1U) << text_of(config.error());
}

}  // namespace
}  // namespace muster::config
