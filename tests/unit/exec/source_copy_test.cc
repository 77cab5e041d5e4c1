#include "launcher/exec/source_copy.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "base/files.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

Result<> nobody_asks() {
  return {};
}

class SourceCopyTest : public test::ScratchTest {
 protected:
  fs::path source() const { return scratch() / "src"; }
  fs::path copy() const { return scratch() / "copy"; }

  Result<SourceCopy> copy_to(const fs::path& target) const {
    MUSTER_TRY_ASSIGN(const SourceTree tree, look_at_source(source(), {}));
    return copy_source(tree, target, nobody_asks);
  }

  SourceCopy copied() const {
    fs::remove_all(copy());
    auto made = copy_to(copy());
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : SourceCopy{};
  }

  // Every file and link below, as "name" or "name -> target"; folders end in a slash.
  static Names tree(const fs::path& root) {
    Names names;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      std::string name = entry.path().lexically_relative(root).string();
      if (entry.is_symlink()) {
        name += " -> " + fs::read_symlink(entry.path()).string();
      } else if (entry.is_directory()) {
        name += "/";
      }
      names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  static mode_t mode_of(const fs::path& path) {
    struct stat info {};
    ::lstat(path.c_str(), &info);
    return info.st_mode & 07777;
  }
};

TEST_F(SourceCopyTest, CopiesFilesFoldersLinksAndEmptyFolders) {
  write("src/train.py", "print(1)");
  write("src/lib/a/b.py", "x");
  fs::create_directories(source() / "empty");
  fs::create_symlink("lib/a", source() / "link");
  const SourceCopy made = copied();
  EXPECT_EQ(tree(copy()), (Names{"empty/", "lib/", "lib/a/", "lib/a/b.py", "link -> lib/a", "logs/",
                                 "outputs/", "train.py"}));
  EXPECT_EQ(read(copy() / "train.py"), "print(1)");
  EXPECT_EQ(made.files, 3);
  EXPECT_EQ(made.bytes, 9);
}

TEST_F(SourceCopyTest, KeepsModesAndTimesOfFiles) {
  write("src/run.sh", "x", 0755);
  write("src/secret", "x", 0600);
  write("src/readonly", "x", 0444);
  const timespec times[2] = {{1'000'000, 0}, {1'000'000, 500}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (source() / "run.sh").c_str(), times, 0), 0);
  copied();
  EXPECT_EQ(mode_of(copy() / "run.sh"), 0755U);
  EXPECT_EQ(mode_of(copy() / "secret"), 0600U);
  EXPECT_EQ(mode_of(copy() / "readonly"), 0444U);
  struct stat info {};
  ::stat((copy() / "run.sh").c_str(), &info);
  EXPECT_EQ(info.st_mtim.tv_sec, 1'000'000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 500);
}

TEST_F(SourceCopyTest, APrivateFolderStaysPrivateAndAReadOnlyOneCanBeRemovedAgain) {
  write("src/private/key", "x");
  write("src/readonly/data", "x");
  ::chmod((source() / "private").c_str(), 0700);
  ::chmod((source() / "readonly").c_str(), 0555);
  copied();
  EXPECT_EQ(mode_of(copy() / "private"), 0700U);
  EXPECT_EQ(mode_of(copy() / "readonly"), 0755U);
  EXPECT_TRUE(remove_tree(copy()));
  ::chmod((source() / "readonly").c_str(), 0755);
}

TEST_F(SourceCopyTest, TheHashIsOfNamesContentsAndExecutableBits) {
  write("src/a", "1");
  write("src/b/c", std::string(1 << 20, 'x'));
  fs::create_symlink("a", source() / "link");
  const std::string hash = copied().hash;
  EXPECT_EQ(hash.size(), std::string("xxh3-128:").size() + 32);
  EXPECT_EQ(copied().hash, hash);
  ::chmod((source() / "a").c_str(), 0600);
  fs::create_directories(source() / "empty");
  EXPECT_EQ(copied().hash, hash) << "as git sees it, nothing has changed";

  std::set<std::string> hashes{hash};
  write("src/a", "2");
  hashes.insert(copied().hash);
  ::chmod((source() / "a").c_str(), 0755);
  hashes.insert(copied().hash);
  fs::rename(source() / "a", source() / "aa");
  hashes.insert(copied().hash);
  fs::remove(source() / "link");
  fs::create_symlink("aa", source() / "link");
  hashes.insert(copied().hash);
  fs::remove(source() / "link");
  write("src/link", "aa");
  hashes.insert(copied().hash);
  fs::rename(source() / "b/c", source() / "bc");
  hashes.insert(copied().hash);
  EXPECT_EQ(hashes.size(), 7U);
}

TEST_F(SourceCopyTest, ManyFilesAreCopiedByManyThreadsTheSameWay) {
  for (int i = 0; i < 1000; ++i) {
    write("src/" + std::to_string(i % 10) + "/" + std::to_string(i), std::to_string(i));
  }
  const SourceCopy made = copied();
  EXPECT_EQ(made.files, 1000);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(read(copy() / std::to_string(i % 10) / std::to_string(i)), std::to_string(i));
  }
  EXPECT_EQ(copied().hash, made.hash);
}

TEST_F(SourceCopyTest, AFileThatIsGoneMeanwhileIsNoError) {
  write("src/a", "1");
  write("src/gone", "1");
  const auto tree = look_at_source(source(), {});
  fs::remove(source() / "gone");
  const auto made = copy_source(*tree, copy(), nobody_asks);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->files, 1);
}

TEST_F(SourceCopyTest, AStopEndsIt) {
  for (int i = 0; i < 300; ++i) write("src/" + std::to_string(i), "x");
  const auto tree = look_at_source(source(), {});
  const auto made = copy_source(
      *tree, copy(), [] { return Result<>(fail(ErrorCode::kStopped, "stopped by somebody")); });
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kStopped);
  EXPECT_EQ(made.error().message, "stopped by somebody");
}

TEST_F(SourceCopyTest, AnErrorOfAnyThreadIsTold) {
  for (int i = 0; i < 300; ++i) write("src/" + std::to_string(i), "x");
  write("copy/150", "in the way");
  const auto made = copy_to(copy());
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kData);
  EXPECT_EQ(made.error().message.find("copying source_directory: "), 0U);
  EXPECT_NE(made.error().message.find("/150: File exists"), std::string::npos)
      << made.error().message;
}

TEST_F(SourceCopyTest, OutputsThatAreALinkStayOne) {
  write("src/a", "x");
  fs::create_symlink("/elsewhere", source() / "outputs");
  copied();
  EXPECT_EQ(tree(copy()), (Names{"a", "logs/", "outputs -> /elsewhere"}));
}

}  // namespace
}  // namespace muster::exec
