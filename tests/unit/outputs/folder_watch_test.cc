#include "collector/outputs/folder_watch.h"

#include <algorithm>
#include <fstream>

#include "tests/support/scratch.h"

namespace muster::outputs {
namespace {

namespace fs = std::filesystem;

class FolderWatchTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    watch_ = FolderWatch::create();
    if (!watch_) GTEST_SKIP() << "no inotify here";
    fs::create_directories(scratch() / "outputs");
    ASSERT_TRUE(watch_->add("outputs", scratch() / "outputs"));
  }

  static bool has(const FolderHints& hints, const std::string& path) {
    return std::find(hints.closed.begin(), hints.closed.end(), path) != hints.closed.end();
  }

  std::optional<FolderWatch> watch_;
};

TEST_F(FolderWatchTest, TellsWhichFilesWereClosedOrRenamed) {
  EXPECT_FALSE(watch_->read().any);
  write("outputs/model.bin", "x");
  write("elsewhere", "x");
  fs::rename(scratch() / "elsewhere", scratch() / "outputs/renamed");
  const FolderHints hints = watch_->read();
  EXPECT_TRUE(hints.any);
  EXPECT_TRUE(has(hints, "outputs/model.bin"));
  EXPECT_TRUE(has(hints, "outputs/renamed"));
}

TEST_F(FolderWatchTest, AFileThatStaysOpenIsNotClosed) {
  std::ofstream open(scratch() / "outputs/log");
  open << "line" << std::flush;
  const FolderHints hints = watch_->read();
  EXPECT_TRUE(hints.any) << "it was created";
  EXPECT_FALSE(has(hints, "outputs/log"));
}

TEST_F(FolderWatchTest, AFolderThatWasRemovedAndMadeAnewIsWatchedAgain) {
  fs::create_directories(scratch() / "outputs/deep");
  ASSERT_TRUE(watch_->add("outputs/deep", scratch() / "outputs/deep"));
  fs::remove_all(scratch() / "outputs/deep");
  static_cast<void>(watch_->read());
  fs::create_directories(scratch() / "outputs/deep");
  ASSERT_TRUE(watch_->add("outputs/deep", scratch() / "outputs/deep"));
  write("outputs/deep/x", "x");
  EXPECT_TRUE(has(watch_->read(), "outputs/deep/x"));
}

TEST_F(FolderWatchTest, AnOverflowIsTold) {
  std::string limit = read("/proc/sys/fs/inotify/max_queued_events");
  const int most = limit.empty() ? 0 : std::stoi(limit);
  if (most == 0 || most > 50'000) GTEST_SKIP() << "the queue holds " << limit;
  // Each file is created and closed: two events, and no two in a row are alike.
  for (int i = 0; i <= most / 2 + 10; ++i) {
    std::ofstream(scratch() / "outputs" / std::to_string(i));
  }
  EXPECT_TRUE(watch_->read().overflowed);
  EXPECT_FALSE(watch_->read().overflowed);
}

TEST_F(FolderWatchTest, WhatCannotBeWatchedIsSaid) {
  EXPECT_FALSE(watch_->add("outputs/none", scratch() / "outputs/none"));
}

}  // namespace
}  // namespace muster::outputs
