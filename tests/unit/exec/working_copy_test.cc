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

TEST_F(WorkingCopyTest, MovedFilesJoinWhatIsThere) {
  write("from/a.txt", "a");
  write("from/model/b.txt", "bb");
  write("to/model/c.txt", "ccc");
  const auto moved = move_files(scratch() / "from", scratch() / "to");
  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_EQ(moved->files, 2U);
  EXPECT_EQ(moved->bytes, 3U);
  EXPECT_EQ(tree(scratch() / "to"),
            (std::vector<std::string>{"a.txt", "model/", "model/b.txt", "model/c.txt"}));
}

}  // namespace
}  // namespace muster::exec
