#include "base/files.h"

#include <csignal>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster {
namespace {

namespace fs = std::filesystem;

class FilesTest : public test::ScratchTest {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(scratch())) {
      found.push_back(entry.path().filename().string());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
};

TEST_F(FilesTest, ReadsAnyBytes) {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += static_cast<char>(i * 7);
  const auto got = read_file(write("bytes", text));
  ASSERT_TRUE(got);
  EXPECT_TRUE(*got == text);
}

TEST_F(FilesTest, ReadingADirectoryOrNothingSaysSo) {
  EXPECT_EQ(read_file(scratch() / "none").error().message,
            "reading " + (scratch() / "none").string() + ": No such file or directory");
  EXPECT_EQ(read_file(scratch()).error().message,
            "reading " + scratch().string() + ": Is a directory");
}

TEST_F(FilesTest, ReplacesAndLeavesNoTemporaryFile) {
  const fs::path path = write("run.json", "old");
  ASSERT_TRUE(replace_file(path, "new", true));
  EXPECT_EQ(read(path), "new");
  EXPECT_EQ(names(), (std::vector<std::string>{"run.json"}));
}

TEST_F(FilesTest, AReaderOfTheOldFileKeepsTheOldText) {
  const fs::path path = write("run.json", "old");
  const auto reader = open_file(path, O_RDONLY);
  ASSERT_TRUE(replace_file(path, "new"));
  char text[8] = {};
  EXPECT_EQ(::read(reader->get(), text, sizeof text), 3);
  EXPECT_STREQ(text, "old");
}

TEST_F(FilesTest, AFailedReplacementLeavesTheOldTextAndNoRubbish) {
  const fs::path path = write("run.json", "old");
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    const rlimit limit{10, 10};  // as a full disk: a part is written, then an error
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
    const auto replaced = replace_file(path, std::string(1000, 'x'));
    if (replaced) return "it succeeded";
    if (replaced.error().code != ErrorCode::kRunDirectory) return "another code";
    const std::string expected = "writing " + path.string() + ": writing: File too large";
    return replaced.error().message == expected ? "" : replaced.error().message;
  });
  EXPECT_EQ(read(path), "old");
  EXPECT_EQ(names(), (std::vector<std::string>{"run.json"}));
}

TEST_F(FilesTest, ReplacingWithoutADirectoryFails) {
  const auto replaced = replace_file(scratch() / "none" / "run.json", "new");
  ASSERT_FALSE(replaced);
  EXPECT_EQ(replaced.error().code, ErrorCode::kRunDirectory);
}

TEST_F(FilesTest, RemovesATreeButNotWhatItsLinksPointTo) {
  write("outside/keep", "precious");
  write("tree/a/b/c", "x");
  fs::create_directory_symlink(scratch() / "outside", scratch() / "tree/a/link");
  fs::create_symlink(scratch() / "outside/keep", scratch() / "tree/file_link");
  fs::create_symlink("/nowhere", scratch() / "tree/dangling");
  ASSERT_TRUE(remove_tree(scratch() / "tree"));
  EXPECT_FALSE(fs::exists(scratch() / "tree"));
  EXPECT_EQ(read(scratch() / "outside/keep"), "precious");
}

TEST_F(FilesTest, RemovingALinkToATreeRemovesTheLink) {
  write("outside/keep", "precious");
  fs::create_directory_symlink(scratch() / "outside", scratch() / "link");
  ASSERT_TRUE(remove_tree(scratch() / "link"));
  EXPECT_FALSE(fs::is_symlink(scratch() / "link"));
  EXPECT_EQ(read(scratch() / "outside/keep"), "precious");
}

TEST_F(FilesTest, RemovingWhatIsNotThereIsFine) {
  EXPECT_TRUE(remove_tree(scratch() / "none"));
  EXPECT_TRUE(remove_tree(scratch() / "none/at/all"));
}

TEST_F(FilesTest, ATemporaryDirectoryIsOursAloneAndGoesAway) {
  fs::path path;
  {
    auto directory = TemporaryDirectory::create(scratch(), "t-");
    ASSERT_TRUE(directory);
    path = directory->path();
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
    EXPECT_TRUE(path.filename().string().starts_with("t-"));
    std::ofstream(path / "file") << "x";
    const TemporaryDirectory moved = std::move(*directory);
    EXPECT_TRUE(fs::exists(moved.path() / "file"));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(FilesTest, ATemporaryDirectoryNeedsItsParent) {
  EXPECT_FALSE(TemporaryDirectory::create(scratch() / "none", "t-"));
}

TEST_F(FilesTest, MakesDirectoriesOrSaysWhyNot) {
  EXPECT_TRUE(make_directories(scratch() / "a/b/c"));
  EXPECT_TRUE(make_directories(scratch() / "a/b/c"));
  write("file", "x");
  const auto made = make_directories(scratch() / "file/b");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kRunDirectory);
}

TEST_F(FilesTest, FindsAProgramAsExecvpWould) {
  write("first/tool", "x", 0644);                     // not executable: passed over
  fs::create_directories(scratch() / "second/tool");  // a directory: passed over
  write("third/tool", "x", 0755);
  const std::string path = (scratch() / "none").string() + ":" + (scratch() / "first").string() +
                           ":" + (scratch() / "second").string() + ":" +
                           (scratch() / "third").string();
  EXPECT_EQ(find_program("tool", path), scratch() / "third/tool");
  EXPECT_EQ(find_program("other", path), std::nullopt);
  EXPECT_EQ(find_program((scratch() / "third/tool").string(), ""), scratch() / "third/tool");
  EXPECT_EQ(find_program((scratch() / "first/tool").string(), path), std::nullopt);
}

TEST_F(FilesTest, KnowsItsOwnProgram) {
  const auto own = own_executable();
  ASSERT_TRUE(own);
  EXPECT_TRUE(own->is_absolute());
  EXPECT_EQ(::access(own->c_str(), X_OK), 0);
}

TEST_F(FilesTest, WithoutProcItSaysWhatToMount) {
  MUSTER_EXPECT_IN_FORK([]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", "/proc", "tmpfs", MS_RDONLY, nullptr) != 0) {
      return test::kSkip + "no mount namespace allowed";
    }
    const auto own = own_executable();
    if (own) return "found " + own->string();
    if (own.error().code != ErrorCode::kResources || own.error().hint.empty()) return "no hint";
    const std::string expected =
        "no /proc is mounted here, and Muster finds a run's processes in it";
    return own.error().message == expected ? "" : own.error().message;
  });
}

}  // namespace
}  // namespace muster
