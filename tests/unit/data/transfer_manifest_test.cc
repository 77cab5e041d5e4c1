#include "launcher/data/transfer_manifest.h"

#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>

#include "launcher/data/transfer_ledger.h"
#include "tests/support/scratch.h"

namespace muster::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TransferManifestTest : public test::ScratchTest {
 protected:
  TransferSpec spec(TransferType type = TransferType::kFolder,
                    const std::string& name = "data") const {
    TransferSpec made;
    made.type = type;
    made.source = (scratch() / name).string();
    return made;
  }

  Manifest listed() {
    auto manifest = list_local(spec(), progress_);
    EXPECT_TRUE(manifest) << manifest.error().message;
    return manifest ? *manifest : Manifest{};
  }

  // "f a.txt", "d sub", "l link -> a.txt"
  static std::vector<std::string> words(const Manifest& manifest) {
    std::vector<std::string> texts;
    for (const ManifestEntry& each : manifest.entries) {
      switch (each.kind) {
        case ManifestEntry::Kind::kFile: texts.push_back("f " + each.path); break;
        case ManifestEntry::Kind::kFolder: texts.push_back("d " + each.path); break;
        case ManifestEntry::Kind::kLink:
          texts.push_back("l " + each.path + " -> " + each.link);
          break;
      }
    }
    return texts;
  }

  TransferProgress progress_;
};

TEST_F(TransferManifestTest, ListsFilesFoldersAndEmptyFolders) {
  write("data/b.txt", "12345");
  write("data/sub/a.txt", "1");
  fs::create_directories(scratch() / "data/empty");
  const Manifest manifest = listed();
  EXPECT_THAT(words(manifest), ElementsAre("f b.txt", "d empty", "d sub", "f sub/a.txt"));
  EXPECT_EQ(manifest.files, 2U);
  EXPECT_EQ(manifest.bytes, 6U);
}

TEST_F(TransferManifestTest, LinksThatStayInsideAreKeptAndOthersFollowed) {
  write("data/a.txt", "1");
  write("data/sub/b.txt", "1");
  write("outside/c.txt", "123");
  fs::create_symlink("a.txt", scratch() / "data/near");
  fs::create_symlink(scratch() / "data/a.txt", scratch() / "data/sub/absolute");
  fs::create_symlink("../../data/a.txt", scratch() / "data/sub/round");
  fs::create_symlink("../outside", scratch() / "data/away");
  fs::create_symlink("nowhere", scratch() / "data/dangling");
  EXPECT_THAT(
      words(listed()),
      ElementsAre("f a.txt", "d away", "f away/c.txt", "l dangling -> nowhere", "l near -> a.txt",
                  "d sub", "l sub/absolute -> ../a.txt", "f sub/b.txt", "l sub/round -> ../a.txt"));
}

TEST_F(TransferManifestTest, AFolderThatLeadsBackIsNotEnteredAgain) {
  write("data/a.txt", "1");
  write("outside/c.txt", "123");
  fs::create_symlink("../outside", scratch() / "data/away");
  fs::create_symlink("../outside", scratch() / "outside/self");
  fs::create_symlink("../data", scratch() / "outside/back");
  const Manifest manifest = listed();
  EXPECT_THAT(words(manifest),
              ElementsAre("f a.txt", "d away", "l away/back -> ../.", "f away/c.txt"));
  EXPECT_THAT(manifest.remarks, ElementsAre(HasSubstr("away/self/ leads back")));
}

TEST_F(TransferManifestTest, SaysWhatIsNoData) {
  write("data/a.txt", "1");
  ASSERT_EQ(::mkfifo((scratch() / "data/pipe").c_str(), 0600), 0);
  const Manifest manifest = listed();
  EXPECT_THAT(words(manifest), ElementsAre("f a.txt"));
  EXPECT_THAT(manifest.remarks, ElementsAre("1 socket, FIFO or device is left out"));
}

TEST_F(TransferManifestTest, TheVersionIsThatOfNamesSizesAndTimes) {
  const fs::path file = write("data/a.txt", "1");
  const timespec times[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  const std::string before = listed().version();
  EXPECT_THAT(before, SizeIs(16));
  EXPECT_EQ(listed().version(), before);
  const timespec later[2] = {{1000, 0}, {1000, 1}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), later, 0), 0);
  EXPECT_NE(listed().version(), before);
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  EXPECT_EQ(listed().version(), before);
  fs::rename(file, scratch() / "data/b.txt");
  EXPECT_NE(listed().version(), before);
}

TEST_F(TransferManifestTest, ASingleFileHasTheNameThatTheUserWrote) {
  write("blobs/8f3a", "1");
  fs::create_symlink("blobs/8f3a", scratch() / "train.csv");
  const auto manifest = list_local(spec(TransferType::kFile, "train.csv"), progress_);
  ASSERT_TRUE(manifest);
  EXPECT_THAT(words(*manifest), ElementsAre("f train.csv"));
}

TEST_F(TransferManifestTest, TheWrongTypeIsToldWithTheRightOne) {
  write("data/a.txt", "1");
  const auto folder = list_local(spec(TransferType::kFile), progress_);
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("is a folder"));
  EXPECT_EQ(folder.error().hint, "write `type: folder`");
  const auto file = list_local(spec(TransferType::kFolder, "data/a.txt"), progress_);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().hint, "write `type: file`");
  const auto absent = list_local(spec(TransferType::kFolder, "none"), progress_);
  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message, HasSubstr("No such file or directory"));
}

TEST_F(TransferManifestTest, ALedgerCountsOnlyForTheSameFile) {
  ManifestEntry entry;
  entry.path = "big.bin";
  entry.size = 100;
  entry.mtime_ns = 5;
  const fs::path folder = scratch() / "ledgers";
  auto ledger = TransferLedger::open(folder, entry);
  ASSERT_TRUE(ledger);
  EXPECT_EQ(ledger->done(), 0U);
  ASSERT_TRUE(ledger->note(30));
  ASSERT_TRUE(ledger->note(60));
  EXPECT_EQ(TransferLedger::open(folder, entry)->done(), 60U);
  ManifestEntry other = entry;
  other.mtime_ns = 6;
  EXPECT_EQ(TransferLedger::open(folder, other)->done(), 0U);
  EXPECT_EQ(TransferLedger::open(folder, entry)->done(), 0U);  // begun again by the other
}

TEST_F(TransferManifestTest, AHalfWrittenNoteDoesNotCount) {
  ManifestEntry entry;
  entry.path = "big.bin";
  entry.size = 100;
  const fs::path folder = scratch() / "ledgers";
  ASSERT_TRUE(TransferLedger::open(folder, entry)->note(30));
  const fs::path file = fs::directory_iterator(folder)->path();
  std::ofstream(file, std::ios::app) << "9";
  EXPECT_EQ(TransferLedger::open(folder, entry)->done(), 30U);
}

}  // namespace
}  // namespace muster::data
