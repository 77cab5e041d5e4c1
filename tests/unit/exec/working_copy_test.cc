#include "launcher/exec/working_copy.h"

#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;

class WorkingCopyTest : public test::ScratchTest {
 protected:
  fs::path source() const { return scratch() / "src"; }
  fs::path copy() const { return scratch() / "copy"; }

  // Every file and link below, as "name" or "name -> target"; folders end in a slash.
  static std::vector<std::string> tree(const fs::path& root) {
    std::vector<std::string> names;
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

  static void set_time(const fs::path& path, time_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 500}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
};

TEST_F(WorkingCopyTest, CopiesFilesFoldersAndEmptyFolders) {
  write("src/train.py", "print(1)");
  write("src/lib/a/b.py", "x");
  fs::create_directories(source() / "empty");
  const auto copied = copy_source(source(), copy(), {});
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(tree(copy()), (std::vector<std::string>{"empty/", "lib/", "lib/a/", "lib/a/b.py",
                                                    "logs/", "outputs/", "train.py"}));
  EXPECT_EQ(read(copy() / "train.py"), "print(1)");
}

TEST_F(WorkingCopyTest, KeepsModesAndTimesOfFiles) {
  write("src/run.sh", "x", 0755);
  write("src/secret", "x", 0600);
  write("src/readonly", "x", 0444);
  set_time(source() / "run.sh", 1'000'000);
  ASSERT_TRUE(copy_source(source(), copy(), {}));
  EXPECT_EQ(mode_of(copy() / "run.sh"), 0755U);
  EXPECT_EQ(mode_of(copy() / "secret"), 0600U);
  EXPECT_EQ(mode_of(copy() / "readonly"), 0444U);
  struct stat info {};
  ::stat((copy() / "run.sh").c_str(), &info);
  EXPECT_EQ(info.st_mtim.tv_sec, 1'000'000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 500);
}

TEST_F(WorkingCopyTest, APrivateFolderStaysPrivateAndAReadOnlyOneCanBeRemovedAgain) {
  write("src/private/key", "x");
  write("src/readonly/data", "x");
  ::chmod((source() / "private").c_str(), 0700);
  ::chmod((source() / "readonly").c_str(), 0555);
  ASSERT_TRUE(copy_source(source(), copy(), {}));
  EXPECT_EQ(mode_of(copy() / "private"), 0700U);
  EXPECT_EQ(mode_of(copy() / "readonly"), 0755U);
  EXPECT_TRUE(remove_tree(copy()));
  ::chmod((source() / "readonly").c_str(), 0755);
}

TEST_F(WorkingCopyTest, ALinkStaysALink) {
  write("outside/data", "big");
  write("src/real", "x");
  fs::create_symlink("real", source() / "relative");
  fs::create_directory_symlink(scratch() / "outside", source() / "absolute");
  fs::create_symlink("/nowhere", source() / "dangling");
  ASSERT_TRUE(copy_source(source(), copy(), {}));
  EXPECT_EQ(tree(copy()),
            (std::vector<std::string>{"absolute -> " + (scratch() / "outside").string(),
                                      "dangling -> /nowhere", "logs/", "outputs/", "real",
                                      "relative -> real"}));
}

TEST_F(WorkingCopyTest, WhatIsNoDataIsLeftOut) {
  write("src/file", "x");
  ASSERT_EQ(::mkfifo((source() / "fifo").c_str(), 0600), 0);
  ASSERT_TRUE(copy_source(source(), copy(), {}));
  EXPECT_FALSE(fs::exists(copy() / "fifo"));
  EXPECT_TRUE(fs::exists(copy() / "file"));
}

TEST_F(WorkingCopyTest, ARunsDirectoryInsideTheSourceIsNotCopiedIntoItself) {
  write("src/train.py", "x");
  write("src/runs/old/run.json", "x");
  const fs::path target = source() / "runs/new/scratch/src";
  fs::create_directories(target.parent_path());
  const auto copied = copy_source(source(), target, source() / "runs");
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_EQ(tree(target), (std::vector<std::string>{"logs/", "outputs/", "train.py"}));
}

TEST_F(WorkingCopyTest, ASourceThatIsTheRunsDirectoryIsNotCopiedIntoItself) {
  write("src/train.py", "x");
  const fs::path target = source() / "new/scratch/src";
  fs::create_directories(target.parent_path());
  const auto copied = copy_source(source(), target, source());
  ASSERT_TRUE(copied) << copied.error().message.substr(0, 300);
  EXPECT_EQ(read(target / "train.py"), "x");
  EXPECT_FALSE(fs::exists(target / "new/scratch/src"));
}

TEST_F(WorkingCopyTest, AMissingSourceIsADataError) {
  const auto copied = copy_source(scratch() / "none", copy(), {});
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::kData);
  EXPECT_EQ(copied.error().message.find("copying source_directory: "), 0U);
}

TEST_F(WorkingCopyTest, MovesFilesAndCountsThem) {
  write("work/outputs/model.bin", "12345");
  write("work/outputs/deep/log", "123");
  fs::create_directories(scratch() / "run/outputs");
  const auto moved = move_files(scratch() / "work/outputs", scratch() / "run/outputs");
  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_EQ(moved->files, 2U);
  EXPECT_EQ(moved->bytes, 8U);
  EXPECT_EQ(tree(scratch() / "run/outputs"),
            (std::vector<std::string>{"deep/", "deep/log", "model.bin"}));
}

TEST_F(WorkingCopyTest, AFolderThatTheRankReplacedByALinkIsCopiedFromWhereItPoints) {
  write("elsewhere/model.bin", "12345");
  fs::create_directories(scratch() / "work");
  fs::create_directory_symlink(scratch() / "elsewhere", scratch() / "work/outputs");
  fs::create_directories(scratch() / "run/outputs");
  const auto moved = move_files(scratch() / "work/outputs", scratch() / "run/outputs");
  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_EQ(moved->files, 1U);
  EXPECT_EQ(read(scratch() / "run/outputs/model.bin"), "12345");
}

TEST_F(WorkingCopyTest, NothingToMoveIsFine) {
  const auto moved = move_files(scratch() / "none", scratch() / "run");
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->files, 0U);
}

TEST_F(WorkingCopyTest, InPlaceOnlyWhatIsNewIsTakenAndStaysWhereItIs) {
  write("outputs/old.bin", "old");
  write("outputs/sub/old.bin", "old");
  set_time(scratch() / "outputs/old.bin", 1'000'000);
  set_time(scratch() / "outputs/sub/old.bin", 1'000'000);
  const timespec began = file_time_now();
  write("outputs/new.bin", "new");
  write("outputs/other/new.bin", "new!");
  fs::create_directories(scratch() / "run/outputs");
  const auto taken = copy_new_files(scratch() / "outputs", scratch() / "run/outputs", began, {});
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(taken->files, 2U);
  EXPECT_EQ(taken->bytes, 7U);
  EXPECT_EQ(tree(scratch() / "run/outputs"),
            (std::vector<std::string>{"new.bin", "other/", "other/new.bin"}))
      << "a folder without anything new does not appear";
  EXPECT_EQ(read(scratch() / "outputs/new.bin"), "new");
}

TEST_F(WorkingCopyTest, InPlaceAFileOfTheVeryStartIsNew) {
  const timespec began = file_time_now();
  write("outputs/now.bin", "x");
  EXPECT_EQ(copy_new_files(scratch() / "outputs", scratch() / "run", began, {})->files, 1U);
}

TEST_F(WorkingCopyTest, InPlaceTheRunsDirectoryIsNotEntered) {
  const timespec began = file_time_now();
  write("outputs/model.bin", "x");
  write("outputs/runs/r1/outputs/deep", "x");
  const auto taken = copy_new_files(scratch() / "outputs", scratch() / "outputs/runs/r1/outputs",
                                    began, scratch() / "outputs/runs");
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(taken->files, 1U);
}

TEST_F(WorkingCopyTest, InPlaceWithoutSuchAFolderThereIsNothingToTake) {
  const auto taken = copy_new_files(scratch() / "none", scratch() / "run", file_time_now(), {});
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->files, 0U);
}

TEST_F(WorkingCopyTest, AFileAppearsWhenItIsComplete) {
  const timespec began = file_time_now();
  write("outputs/model.bin", "weights", 0640);
  fs::create_directories(scratch() / "run");
  const Collecting collecting{scratch() / "run/.incoming"};
  ASSERT_TRUE(
      copy_new_files(scratch() / "outputs", scratch() / "run/outputs", began, {}, collecting));
  EXPECT_EQ(read(scratch() / "run/outputs/model.bin"), "weights");
  EXPECT_EQ(mode_of(scratch() / "run/outputs/model.bin"), 0640U);
  EXPECT_FALSE(fs::exists(scratch() / "run/.incoming"));
}

TEST_F(WorkingCopyTest, CollectingEndsWhenTheTimeIsOverAndLeavesTheFilesWhereTheyAre) {
  const timespec began = file_time_now();
  write("outputs/model.bin", "weights");
  fs::create_directories(scratch() / "run");
  const auto over = std::chrono::steady_clock::now();
  const auto taken = copy_new_files(scratch() / "outputs", scratch() / "run/outputs", began, {},
                                    {scratch() / "run/.incoming", over});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message, "the stop_budget is used up");
  EXPECT_EQ(read(scratch() / "outputs/model.bin"), "weights");
  EXPECT_FALSE(fs::exists(scratch() / "run/outputs/model.bin"));
}

}  // namespace
}  // namespace muster::exec
