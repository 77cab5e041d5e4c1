#include "launcher/data/transfer_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <gmock/gmock.h>

#include "launcher/data/transfer_ledger.h"
#include "tests/support/scratch.h"

namespace muster::data {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TransferCopyTest : public test::ScratchTest {
 protected:
  fs::path source() const { return scratch() / "data"; }
  fs::path target() const { return scratch() / "copy"; }
  fs::path ledgers() const { return scratch() / "ledgers"; }

  Manifest listed() {
    TransferSpec spec;
    spec.source = source().string();
    auto manifest = list_local(spec, progress_);
    EXPECT_TRUE(manifest);
    return manifest ? *manifest : Manifest{};
  }

  Result<CopyCounts> copied(const Manifest& manifest) {
    return copy_manifest(manifest, source(), target(), ledgers(), progress_);
  }

  // Faster than the scratch's own.
  static std::string read(const fs::path& path) { return read_file(path).value_or("unreadable"); }

  static struct stat info(const fs::path& path) {
    struct stat info {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info;
  }

  // 9 MiB: some bytes, a hole, some bytes at the end.
  fs::path write_sparse() const {
    const fs::path path = write("data/sparse.bin", std::string(5000, 'x'));
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp((9 << 20) - 3);
    file << "end";
    return path;
  }

  TransferProgress progress_;
};

TEST_F(TransferCopyTest, CopiesBytesTimesLinksAndEmptyFolders) {
  write("data/a.txt", "abc", 0751);
  write("data/sub/b.bin", std::string(200'000, 'y'));
  fs::create_directories(source() / "empty");
  fs::create_symlink("a.txt", source() / "link");
  const auto counts = copied(listed());
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(counts->files, 2U);
  EXPECT_EQ(counts->bytes, 200'003U);
  EXPECT_EQ(read(target() / "a.txt"), "abc");
  EXPECT_EQ(read(target() / "sub/b.bin"), std::string(200'000, 'y'));
  EXPECT_TRUE(fs::is_directory(target() / "empty"));
  EXPECT_EQ(fs::read_symlink(target() / "link"), "a.txt");
  // Shared by runs: readable and executable as it was, writable by nobody.
  EXPECT_EQ(info(target() / "a.txt").st_mode & 0777, 0551U);
  EXPECT_EQ(info(target() / "a.txt").st_mtim.tv_nsec, info(source() / "a.txt").st_mtim.tv_nsec);
}

TEST_F(TransferCopyTest, HolesStayHoles) {
  write_sparse();
  ASSERT_TRUE(copied(listed()));
  EXPECT_EQ(read(target() / "sparse.bin"), read(source() / "sparse.bin"));
  EXPECT_LT(info(target() / "sparse.bin").st_blocks * 512, 1 << 20);
}

TEST_F(TransferCopyTest, WhatIsDoneIsNotDoneAgain) {
  write("data/a.txt", "abc");
  write("data/b.txt", "defg");
  ASSERT_TRUE(copied(listed()));
  const auto before = info(target() / "a.txt").st_ino;
  fs::remove(target() / "b.txt");
  write("copy/stranger.txt", "x");
  const auto counts = copied(listed());
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->files, 1U);
  EXPECT_EQ(counts->bytes, 4U);
  EXPECT_EQ(counts->kept_files, 1U);
  EXPECT_EQ(info(target() / "a.txt").st_ino, before);
  EXPECT_FALSE(fs::exists(target() / "stranger.txt"));
}

TEST_F(TransferCopyTest, AHalfWrittenFileIsWrittenAnew) {
  write("data/a.txt", "abcdef");
  write("copy/a.txt", "abc");
  const auto counts = copied(listed());
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->files, 1U);
  EXPECT_EQ(read(target() / "a.txt"), "abcdef");
}

TEST_F(TransferCopyTest, ALargeFileGoesOnWhereItsLedgerSays) {
  std::string text(9 << 20, 'z');
  for (std::size_t at = 0; at < text.size(); at += 4096) text[at] = static_cast<char>(at >> 12);
  write("data/big.bin", text);
  const Manifest manifest = listed();
  const std::string begin = text.substr(0, 8 << 20);
  write("copy/big.bin", begin);
  ASSERT_TRUE(TransferLedger::open(ledgers(), manifest.entries.front())->note(8 << 20));
  const auto counts = copied(manifest);
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(counts->kept_bytes, std::uint64_t{8} << 20);
  EXPECT_EQ(counts->bytes, std::uint64_t{1} << 20);
  EXPECT_EQ(read(target() / "big.bin"), text);
  EXPECT_TRUE(fs::is_empty(ledgers()));
}

TEST_F(TransferCopyTest, ALedgerThatThePresentBytesContradictIsNotBelieved) {
  write("data/big.bin", std::string(9 << 20, 'z'));
  const Manifest manifest = listed();
  write("copy/big.bin", std::string(8 << 20, 'y'));
  ASSERT_TRUE(TransferLedger::open(ledgers(), manifest.entries.front())->note(8 << 20));
  const auto counts = copied(manifest);
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->kept_bytes, 0U);
  EXPECT_EQ(read(target() / "big.bin"), std::string(9 << 20, 'z'));
}

TEST_F(TransferCopyTest, ASourceThatWasChangedMeanwhileIsNoticed) {
  write("data/a.txt", "abc");
  const Manifest manifest = listed();
  write("data/a.txt", "abcdef");
  const auto counts = copied(manifest);
  ASSERT_FALSE(counts);
  EXPECT_THAT(counts.error().message,
              HasSubstr("a.txt was changed while it was copied: it had 3 bytes, now 6"));
}

TEST_F(TransferCopyTest, AFileThatIsGoneIsNamed) {
  write("data/a.txt", "abc");
  const Manifest manifest = listed();
  fs::remove(source() / "a.txt");
  const auto counts = copied(manifest);
  ASSERT_FALSE(counts);
  EXPECT_THAT(counts.error().message, HasSubstr("a.txt: No such file or directory"));
}

TEST_F(TransferCopyTest, MoreThanThereIsRoomForIsNotBegun) {
  write("data/a.txt", "abc");
  Manifest manifest = listed();
  manifest.entries.front().allocated = std::uint64_t{1} << 60;
  const auto counts = copied(manifest);
  ASSERT_FALSE(counts);
  EXPECT_THAT(counts.error().message, HasSubstr("not enough room for 1 file: needs 1.0 EiB, and " +
                                                scratch().string() + " has "));
  EXPECT_FALSE(fs::exists(target() / "a.txt"));
}

}  // namespace
}  // namespace muster::data
