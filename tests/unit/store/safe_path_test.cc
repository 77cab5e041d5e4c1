#include "collector/store/safe_path.h"

#include <atomic>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "tests/support/scratch.h"

namespace muster::store {
namespace {

namespace fs = std::filesystem;

TEST(WhyUnsafe, PlainRelativeNamesAreFine) {
  for (const char* path : {"a", "outputs/model.pt", "a/b/c", "...", "a..b", ".hidden", "-x", "~"}) {
    EXPECT_EQ(why_unsafe(path), std::nullopt) << path;
  }
  EXPECT_EQ(why_unsafe("outputs/\xff\xfe"), std::nullopt) << "a name need not be text";
  EXPECT_EQ(why_unsafe(std::string(255, 'n')), std::nullopt);
}

TEST(WhyUnsafe, EveryRefusalHasItsReason) {
  std::string long_path(4096, 'x');
  for (std::size_t at = 7; at < long_path.size(); at += 8) long_path[at] = '/';
  long_path.back() = 'x';
  EXPECT_EQ(why_unsafe(""), "it is empty");
  EXPECT_EQ(why_unsafe("/etc/passwd"), "it is absolute");
  EXPECT_EQ(why_unsafe(".."), "it has the name `..`");
  EXPECT_EQ(why_unsafe("outputs/../../x"), "it has the name `..`");
  EXPECT_EQ(why_unsafe("./x"), "it has the name `.`");
  EXPECT_EQ(why_unsafe("a//b"), "it has an empty name");
  EXPECT_EQ(why_unsafe("a/"), "it has an empty name");
  EXPECT_EQ(why_unsafe(std::string_view("a\0b", 3)), "it has a NUL");
  EXPECT_EQ(why_unsafe(std::string(256, 'n')),
            "a name of it has 256 bytes (at most 255 are possible)");
  EXPECT_EQ(why_unsafe(long_path), "it has 4096 bytes (at most 1024 are stored)");
}

// Both ways to open: the kernel's and ours.
class SafeRootTest : public test::ScratchTest, public ::testing::WithParamInterface<bool> {
 protected:
  SafeRoot root() const {
    fs::create_directories(scratch() / "run");
    auto opened = SafeRoot::open((scratch() / "run").string());
    EXPECT_TRUE(opened);
    if (GetParam()) opened->use_fallback();
    return std::move(*opened);
  }
};

INSTANTIATE_TEST_SUITE_P(Ways, SafeRootTest, ::testing::Values(false, true),
                         [](const auto& way) { return way.param ? "NameByName" : "Openat2"; });

TEST_P(SafeRootTest, MakesFilesWithTheirFolders) {
  const SafeRoot safe = root();
  const auto fd = safe.open_file("outputs/a/b/model.pt", O_WRONLY | O_CREAT);
  ASSERT_TRUE(fd) << fd.error().message;
  ASSERT_TRUE(write_all(*fd, "weights"));
  EXPECT_EQ(read(scratch() / "run/outputs/a/b/model.pt"), "weights");
  const auto facts = safe.look("outputs/a/b/model.pt");
  ASSERT_TRUE(facts && *facts);
  EXPECT_EQ((*facts)->st_size, 7);
  const auto none = safe.look("outputs/a/other");
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
}

TEST_P(SafeRootTest, RefusesNamesThatLeadOut) {
  const SafeRoot safe = root();
  write("secret", "untouched");
  fs::create_symlink(scratch(), scratch() / "run/out");
  fs::create_symlink(scratch() / "secret", scratch() / "run/link");
  for (const char* path : {"../secret", "/etc/passwd", "out/secret", "link", "out/new", ""}) {
    for (const int flags : {O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC}) {
      const auto fd = safe.open_file(path, flags);
      ASSERT_FALSE(fd) << path;
      EXPECT_EQ(fd.error().code, ErrorCode::kPermission) << fd.error().message;
    }
  }
  EXPECT_FALSE(safe.rename("link", "out/moved"));
  EXPECT_FALSE(safe.make_folder("out/folder"));
  EXPECT_FALSE(safe.remove("out/secret"));
  EXPECT_FALSE(safe.make_link("x", "../link"));
  EXPECT_FALSE(fs::exists(scratch() / "new"));
  EXPECT_EQ(read(scratch() / "secret"), "untouched");
}

TEST_P(SafeRootTest, WhatIsNoFileIsRefusedAndNotWaitedFor) {
  const SafeRoot safe = root();
  ASSERT_EQ(::mkfifo((scratch() / "run/fifo").c_str(), 0600), 0);
  fs::create_directories(scratch() / "run/folder");
  EXPECT_FALSE(safe.open_file("fifo", O_RDONLY));
  EXPECT_FALSE(safe.open_file("fifo", O_WRONLY));
  EXPECT_FALSE(safe.open_file("folder", O_RDONLY));
  if (::mknod((scratch() / "run/null").c_str(), S_IFCHR | 0600, 0x0103) == 0) {
    EXPECT_FALSE(safe.open_file("null", O_RDONLY));
  }
}

TEST_P(SafeRootTest, LinksAreSeenAsThemselves) {
  const SafeRoot safe = root();
  ASSERT_TRUE(safe.make_link("../../../etc/passwd", "outputs/link"));
  const auto facts = safe.look("outputs/link");
  ASSERT_TRUE(facts && *facts) << facts.error().message;
  EXPECT_TRUE(S_ISLNK((*facts)->st_mode));
  ASSERT_TRUE(safe.remove("outputs/link"));
  ASSERT_TRUE(safe.remove("outputs/link")) << "what is gone is gone";
  ASSERT_TRUE(safe.remove("nowhere/link"));
}

TEST_P(SafeRootTest, RenamesBelow) {
  const SafeRoot safe = root();
  ASSERT_TRUE(safe.open_file(".muster/incoming/1", O_WRONLY | O_CREAT));
  ASSERT_TRUE(safe.rename(".muster/incoming/1", "outputs/new/file"));
  ASSERT_TRUE(safe.sync_folder_of("outputs/new/file"));
  EXPECT_TRUE(fs::exists(scratch() / "run/outputs/new/file"));
}

// F26: somebody swaps a folder for a link while names below it are used.
TEST_P(SafeRootTest, NothingLeavesWhileAFolderIsSwapped) {
  const SafeRoot safe = root();
  const fs::path folder = scratch() / "run/outputs";
  const fs::path outside = scratch() / "outside";
  fs::create_directories(folder);
  fs::create_directories(outside);
  fs::create_directory_symlink(outside, scratch() / "run/bait");
  std::atomic<bool> stop = false;
  std::thread swapper([&] {
    while (!stop) {
      ::syscall(SYS_renameat2, AT_FDCWD, folder.c_str(), AT_FDCWD, (scratch() / "run/bait").c_str(),
                2 /* RENAME_EXCHANGE */);
    }
  });
  int written = 0;
  for (int number = 0; number < 2000; ++number) {
    const std::string name = "outputs/" + std::to_string(number % 50);
    if (safe.open_file(name, O_WRONLY | O_CREAT)) ++written;
    if (safe.open_file("staged", O_WRONLY | O_CREAT)) {
      static_cast<void>(safe.rename("staged", name));
    }
  }
  stop = true;
  swapper.join();
  EXPECT_TRUE(fs::is_empty(outside));
  EXPECT_GT(written, 0);
}

}  // namespace
}  // namespace muster::store
