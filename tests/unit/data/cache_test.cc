#include "launcher/data/cache.h"

#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>

#include "tests/support/scratch.h"

namespace muster::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class CacheTest : public test::ScratchTest {
 protected:
  // Entries cannot be removed as they are.
  void TearDown() override {
    make_writable(root());
    ScratchTest::TearDown();
  }

  fs::path root() const { return scratch() / "cache/data"; }
  DataCache cache() const { return DataCache(root()); }

  // An entry of so many KiB that was used at that time.
  fs::path make(const std::string& source, std::size_t kib, time_t used_at) {
    EXPECT_TRUE(cache().prepare());
    const fs::path part = cache().part(source);
    write(fs::relative(part / "content/file", scratch()).string(), std::string(kib << 10, 'x'));
    const fs::path entry = cache().entry(source, "0123456789abcdef");
    EXPECT_TRUE(cache().complete(part, entry, {source, "0123456789abcdef", 1, kib << 10, ""}));
    const timespec times[2] = {{used_at, 0}, {used_at, 0}};
    EXPECT_EQ(::utimensat(AT_FDCWD, (entry / "in-use").c_str(), times, 0), 0);
    return entry;
  }

  static std::vector<std::string> sources(const std::vector<CacheEntry>& entries) {
    std::vector<std::string> names;
    for (const CacheEntry& each : entries) names.push_back(each.note.source);
    return names;
  }
};

TEST_F(CacheTest, WithoutACacheThereAreNoEntries) {
  const auto entries = list_entries(root());
  ASSERT_TRUE(entries);
  EXPECT_THAT(*entries, SizeIs(0));
  EXPECT_TRUE(prune_entries(root(), 0));
}

TEST_F(CacheTest, IsForItsOwnerAlone) {
  ASSERT_TRUE(cache().prepare());
  struct stat info {};
  ASSERT_EQ(::stat(root().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(CacheTest, EntriesAreRankedByTheirLastUse) {
  make("old", 4, 1000);
  const fs::path used = make("used", 4, 2000);
  make("new", 4, 3000);
  EXPECT_THAT(sources(*list_entries(root())), ElementsAre("new", "used", "old"));
  ASSERT_TRUE(use_entry(used));
  EXPECT_THAT(sources(*list_entries(root())), ElementsAre("used", "new", "old"));
}

TEST_F(CacheTest, PruningRemovesWhatWasNotUsedForLongest) {
  make("old", 400, 1000);
  make("middle", 400, 2000);
  make("new", 400, 3000);
  const auto pruned = prune_entries(root(), 1000 << 10);
  ASSERT_TRUE(pruned);
  EXPECT_THAT(sources(pruned->removed), ElementsAre("old"));
  EXPECT_THAT(sources(*list_entries(root())), ElementsAre("new", "middle"));
}

TEST_F(CacheTest, WhatIsUsedStays) {
  const fs::path entry = make("used", 4, 1000);
  {
    const auto use = use_entry(entry);
    ASSERT_TRUE(use);
    EXPECT_TRUE(list_entries(root())->front().in_use);
    EXPECT_THAT(prune_entries(root(), 0)->removed, SizeIs(0));
    EXPECT_TRUE(fs::exists(entry / "content/file"));
  }
  EXPECT_THAT(prune_entries(root(), 0)->removed, SizeIs(1));
  EXPECT_FALSE(fs::exists(entry));
  EXPECT_FALSE(use_entry(entry));
}

TEST_F(CacheTest, ACompleteEntryCannotBeWrittenInto) {
  const fs::path entry = make("sealed", 4, 1000);
  struct stat info {};
  ASSERT_EQ(::stat((entry / "content").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0222, 0U);
}

TEST_F(CacheTest, ADamagedEntryIsReopenedOnlyWhenNobodyUsesIt) {
  const fs::path entry = make("used", 4, 1000);
  const fs::path part = cache().part("used");
  {
    const auto use = use_entry(entry);
    ASSERT_TRUE(use);
    EXPECT_FALSE(reopen_entry(entry, part));
    EXPECT_TRUE(fs::exists(entry / "content/file"));
    EXPECT_EQ(cache().free_entry("used", "0123456789abcdef"), entry.string() + "-2");
  }
  EXPECT_TRUE(reopen_entry(entry, part));
  EXPECT_FALSE(fs::exists(entry));
  struct stat info {};
  ASSERT_EQ(::stat((part / "content").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0200, 0200U);
  EXPECT_THAT(cache().entries("used", "0123456789abcdef"), SizeIs(0));
}

TEST_F(CacheTest, HalfMadeOnesAreRemovedUnlessTheyAreBeingMade) {
  ASSERT_TRUE(cache().prepare());
  const fs::path part = cache().part("half");
  fs::create_directories(part / "content");
  fs::create_directories(root() / "x.1.trash/content");
  {
    const auto lock = CacheLock::acquire(cache().lock_file("half"), "run x", [](const auto&) {});
    ASSERT_TRUE(lock);
    EXPECT_THAT(prune_entries(root(), 1 << 30)->removed, SizeIs(1));  // the rest of an older one
    EXPECT_TRUE(fs::exists(part));
  }
  EXPECT_THAT(prune_entries(root(), 1 << 30)->removed, SizeIs(1));
  EXPECT_FALSE(fs::exists(part));
}

TEST_F(CacheTest, WhoeverWaitsIsToldForWhom) {
  ASSERT_TRUE(cache().prepare());
  const fs::path file = cache().lock_file("x");
  auto first = CacheLock::acquire(file, "run 1 (process 7)", [](const auto&) {});
  ASSERT_TRUE(first);
  std::atomic<bool> told = false;
  std::string holder;
  std::thread second([&] {
    const auto lock = CacheLock::acquire(file, "run 2", [&](const std::string& text) {
      holder = text;
      told = true;
    });
    EXPECT_TRUE(lock);
  });
  while (!told) std::this_thread::yield();
  { const CacheLock release = std::move(*first); }
  second.join();
  EXPECT_EQ(holder, "run 1 (process 7)");
}

}  // namespace
}  // namespace muster::data
