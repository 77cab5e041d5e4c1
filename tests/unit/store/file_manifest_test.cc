#include "collector/store/file_manifest.h"

#include "tests/support/scratch.h"

namespace muster::store {
namespace {

class FileManifestTest : public test::ScratchTest {
 protected:
  std::filesystem::path path() const { return scratch() / "files.jsonl"; }
  FileStates states() const {
    auto read = read_manifest(path());
    EXPECT_TRUE(read);
    return read ? *read : FileStates();
  }
  static FileEntry entry(const std::string& path) {
    FileEntry entry;
    entry.path = path;
    entry.generation = 3;
    entry.size = 42;
    entry.xxh3 = "00ff";
    entry.mtime_ns = 1'700'000'000'123'456'789;
    entry.mode = 0640;
    entry.owner_rank = 4;
    entry.writer = "node-1";
    return entry;
  }
};

TEST_F(FileManifestTest, KeepsEverythingOfAnEntry) {
  FileManifest manifest(path());
  FileEntry link = entry("outputs/link");
  link.form = FileForm::kSymlink;
  link.target = "model.pt";
  manifest.stored(entry("outputs/model.pt"));
  manifest.stored(link);
  ASSERT_TRUE(manifest.sync());
  const FileStates read = states();
  ASSERT_EQ(read.size(), 2U);
  EXPECT_EQ(read.at("outputs/model.pt").stored, entry("outputs/model.pt"));
  EXPECT_EQ(read.at("outputs/link").stored, link);
}

TEST_F(FileManifestTest, TheLastWordCounts) {
  FileManifest manifest(path());
  manifest.waiting("outputs/a", "it changes");
  EXPECT_EQ(states().at("outputs/a").waiting, "it changes");
  manifest.stored(entry("outputs/a"));
  EXPECT_EQ(states().at("outputs/a").waiting, "");
  manifest.deleted("outputs/a");
  FileState state = states().at("outputs/a");
  EXPECT_TRUE(state.deleted);
  EXPECT_TRUE(state.stored) << "the copy was kept";
  FileEntry next = entry("outputs/a");
  next.generation = 4;
  manifest.stored(next);
  state = states().at("outputs/a");
  EXPECT_FALSE(state.deleted);
  EXPECT_EQ(state.stored->generation, 4U);
  manifest.refused("outputs/b", "it is a device");
  EXPECT_EQ(states().at("outputs/b").refused, "it is a device");
}

TEST_F(FileManifestTest, ConflictsAreListedOnce) {
  FileManifest manifest(path());
  manifest.conflict("outputs/a", {"outputs/a.rank-4", 4});
  manifest.conflict("outputs/a", {"outputs/a.rank-8", 8});
  manifest.conflict("outputs/a", {"outputs/a.rank-4", 4});
  EXPECT_EQ(states().at("outputs/a").conflicts,
            (std::vector<FileState::Conflict>{{"outputs/a.rank-8", 8}, {"outputs/a.rank-4", 4}}));
}

TEST_F(FileManifestTest, DamageIsPassedOver) {
  FileManifest(path()).stored(entry("outputs/a"));
  const std::string line = read(path());
  write("files.jsonl", "junk\n{\"path\":\"x\"}\n{\"path\":\"x\",\"kind\":\"other\"}\n" + line +
                           line.substr(0, line.size() / 2));
  const FileStates read = states();
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read.at("outputs/a").stored, entry("outputs/a"));
}

}  // namespace
}  // namespace muster::store
