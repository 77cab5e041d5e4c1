#include "collector/outputs/folder_scan.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "tests/support/scratch.h"

namespace muster::outputs {
namespace {

namespace fs = std::filesystem;

class FolderScanTest : public test::ScratchTest {
 protected:
  FolderListing look(ScanOptions options = {}) const {
    return scan({"outputs", scratch() / "work/outputs"}, rules_of(scratch() / "work"), options);
  }

  static std::vector<std::string> paths(const FolderListing& listing) {
    std::vector<std::string> all;
    for (const FoundFile& file : listing.files) all.push_back(file.path);
    return all;
  }

  using Paths = std::vector<std::string>;
};

TEST_F(FolderScanTest, FindsFilesAndLinksBelowTheFolder) {
  write("work/outputs/deep/er/model.bin", "12345", 0640);
  write("work/outputs/a", "");
  fs::create_symlink("deep/er/model.bin", scratch() / "work/outputs/best");
  fs::create_symlink("..", scratch() / "work/outputs/deep/loop");
  const FolderListing listing = look();
  EXPECT_TRUE(listing.exists);
  EXPECT_EQ(paths(listing),
            (Paths{"outputs/a", "outputs/best", "outputs/deep/er/model.bin", "outputs/deep/loop"}));
  EXPECT_EQ(listing.files[1].target, "deep/er/model.bin");
  EXPECT_EQ(listing.files[2].facts.size, 5U);
  EXPECT_EQ(listing.files[2].facts.mode & 07777U, 0640U);
  EXPECT_EQ(listing.folders.size(), 3U);
}

TEST_F(FolderScanTest, AFolderThatIsNotThereIsEmpty) {
  const FolderListing listing = look();
  EXPECT_FALSE(listing.exists);
  EXPECT_TRUE(listing.files.empty());
  EXPECT_TRUE(listing.unreadable.empty());
}

TEST_F(FolderScanTest, TheFolderItselfMayBeALink) {
  write("elsewhere/x", "1");
  fs::create_directories(scratch() / "work");
  fs::create_directory_symlink(scratch() / "elsewhere", scratch() / "work/outputs");
  EXPECT_EQ(paths(look()), Paths{"outputs/x"});
}

TEST_F(FolderScanTest, WhatIsNoDataIsToldAndNotWaitedFor) {
  write("work/outputs/file", "x");
  ASSERT_EQ(::mkfifo((scratch() / "work/outputs/fifo").c_str(), 0600), 0);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (scratch() / "work/outputs/sock").string();
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  const FolderListing listing = look();
  EXPECT_EQ(paths(listing), Paths{"outputs/file"});
  ASSERT_EQ(listing.left_out.size(), 2U);
  for (const LeftOut& each : listing.left_out) {
    EXPECT_TRUE(each.why == "it is a FIFO" || each.why == "it is a socket") << each.why;
  }
}

TEST_F(FolderScanTest, DefaultsAndIgnoreFilesLeaveFilesOut) {
  write("work/.musterignore", "outputs/cache/\n*.part\n!keep.tmp\n");
  write("work/outputs/.musterignore", "/only-here\n");
  for (const char* name : {"__pycache__/x.pyc", "a.tmp", "keep.tmp", ".b.swp", "cache/c", "d.part",
                           "only-here", "deep/only-here", "model.bin", "deep/__pycache__/y"}) {
    write("work/outputs/" + std::string(name), "x");
  }
  EXPECT_EQ(paths(look()),
            (Paths{"outputs/deep/only-here", "outputs/keep.tmp", "outputs/model.bin"}));
}

TEST_F(FolderScanTest, ALargeCoreDumpIsLeftOut) {
  for (const char* name : {"core", "core.4711", "core.bin", "score"}) {
    write("work/outputs/" + std::string(name), "");
    fs::resize_file(scratch() / "work/outputs" / name, (1U << 30) + 1U);
  }
  write("work/outputs/core.1", "small");
  const FolderListing listing = look();
  EXPECT_EQ(paths(listing), (Paths{"outputs/core.1", "outputs/core.bin", "outputs/score"}));
  EXPECT_EQ(listing.left_out.size(), 2U);
}

TEST_F(FolderScanTest, OldFilesAndExcludedFoldersAreNotTheRuns) {
  write("work/outputs/old", "x");
  write("work/outputs/runs/r/outputs/deep", "x");
  struct stat info {};
  ASSERT_EQ(::stat((scratch() / "work/outputs/old").c_str(), &info), 0);
  const timespec times[2] = {{1'000'000, 0}, {1'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (scratch() / "work/outputs/old").c_str(), times, 0), 0);
  write("work/outputs/new", "x");
  ScanOptions options;
  options.excluded = {scratch() / "work/outputs/runs", ""};
  options.since_ns = facts_of(info).mtime_ns;
  EXPECT_EQ(paths(look(options)), Paths{"outputs/new"});
}

TEST_F(FolderScanTest, NamesThatAreTooLongOrTooDeepAreToldAndHideNothing) {
  fs::path deep = scratch() / "work/outputs";
  for (int i = 0; i < 110; ++i) deep /= "d";
  fs::create_directories(deep);
  fs::path lengthy = scratch() / "work/outputs";
  for (int i = 0; i < 6; ++i) lengthy /= std::string(200, 'n');
  fs::create_directories(lengthy);
  write("work/outputs/x", "x");
  const FolderListing listing = look();
  EXPECT_EQ(paths(listing), Paths{"outputs/x"});
  EXPECT_EQ(listing.left_out.size(), 2U);
}

TEST_F(FolderScanTest, AFolderThatCannotBeReadHidesNoOther) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  write("work/outputs/a/x", "x");
  write("work/outputs/b/y", "x");
  ::chmod((scratch() / "work/outputs/a").c_str(), 0);
  const FolderListing listing = look();
  ::chmod((scratch() / "work/outputs/a").c_str(), 0755);
  EXPECT_EQ(paths(listing), Paths{"outputs/b/y"});
  ASSERT_EQ(listing.unreadable.size(), 1U);
  EXPECT_EQ(listing.unreadable[0].path, "outputs/a");
}

}  // namespace
}  // namespace muster::outputs
