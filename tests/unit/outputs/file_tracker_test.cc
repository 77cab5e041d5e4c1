#include "collector/outputs/file_tracker.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

namespace muster::outputs {
namespace {

using namespace std::chrono_literals;
using Kind = Work::Kind;

// A folder and a clock; every change of a file stamps it.
class FileTrackerTest : public ::testing::Test {
 protected:
  static constexpr std::int64_t kStart = 1'700'000'000'000'000'000;

  FileFacts& file(const std::string& path) { return files_[path]; }

  void write(const std::string& path, std::uint64_t size) {
    FileFacts& facts = files_[path];
    if (facts.inode == 0) facts.inode = ++inodes_;
    facts.size = size;
    facts.mode = S_IFREG | 0644;
    facts.mtime_ns = facts.ctime_ns = wall();
  }

  void replace(const std::string& path, std::uint64_t size) {
    files_.erase(path);
    write(path, size);
  }

  std::int64_t wall() const {
    return kStart + std::chrono::nanoseconds(now_.time_since_epoch()).count();
  }

  std::vector<Work> look(std::chrono::milliseconds later = 1000ms) {
    now_ += later;
    return tracker_.observe(listing(), now_, wall());
  }

  std::vector<FoundFile> listing() const {
    std::vector<FoundFile> found;
    for (const auto& [path, facts] : files_) found.push_back({path, facts});
    return found;
  }

  void done(const Work& work) { tracker_.published(work.file.path, work.file.facts, work.append); }

  // Until there is something to do; what it is.
  std::vector<Work> wait(int looks = 20) {
    for (; looks > 0; --looks) {
      if (auto work = look(); !work.empty()) return work;
    }
    return {};
  }

  FileTracker tracker_;
  FileTracker::Time now_{1h};
  std::map<std::string, FileFacts> files_;
  std::uint64_t inodes_ = 100;
};

TEST_F(FileTrackerTest, StoresWhatHasNotChangedForTwoSeconds) {
  write("outputs/model.bin", 100);
  EXPECT_TRUE(look().empty());
  write("outputs/model.bin", 200);
  EXPECT_TRUE(look().empty());
  EXPECT_TRUE(look().empty()) << "1 s is not enough";
  const auto work = look();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].kind, Kind::kPublish);
  EXPECT_EQ(work[0].file.facts.size, 200U);
  EXPECT_FALSE(work[0].append);
  done(work[0]);
  EXPECT_TRUE(wait().empty()) << "once";
}

TEST_F(FileTrackerTest, AClosedFileIsNotWaitedFor) {
  write("outputs/model.bin", 100);
  tracker_.closed("outputs/model.bin", wall());
  ASSERT_EQ(look(300ms).size(), 1U);
}

TEST_F(FileTrackerTest, AClosedFileThatIsFreshWaitsForTheClocksTick) {
  write("outputs/model.bin", 100);
  tracker_.closed("outputs/model.bin", wall());
  EXPECT_TRUE(look(0ms).empty());
  EXPECT_EQ(look(300ms).size(), 1U);
}

TEST_F(FileTrackerTest, WhatIsWrittenAgainAfterItWasClosedWaits) {
  write("outputs/model.bin", 100);
  tracker_.closed("outputs/model.bin", wall());
  EXPECT_TRUE(look(0ms).empty());
  now_ += 100ms;
  write("outputs/model.bin", 101);
  EXPECT_TRUE(look(300ms).empty()) << "nobody said that it was closed again";
  EXPECT_EQ(wait().size(), 1U);
}

// The kernel cuts a file short before it stamps it: seen in between, its old end was closed.
TEST_F(FileTrackerTest, AFileThatIsBeingCutShortWaits) {
  write("outputs/model.bin", 100);
  tracker_.closed("outputs/model.bin", wall());
  auto work = look();
  ASSERT_EQ(work.size(), 1U);
  done(work[0]);
  for (const std::uint64_t size : {50U, 0U}) {
    file("outputs/model.bin").size = size;
    EXPECT_TRUE(look(10ms).empty()) << size;
  }
  write("outputs/model.bin", 70);
  tracker_.closed("outputs/model.bin", wall());
  work = look();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].file.facts.size, 70U);
}

TEST_F(FileTrackerTest, WhatGrowsByItsNameIsStoredWhileItGrows) {
  for (const char* path : {"logs/events.out.tfevents.1.host", "logs/a.log", "logs/b.txt",
                           "outputs/c.jsonl", "outputs/d.csv"}) {
    files_.clear();
    tracker_ = FileTracker();
    write(path, 10);
    auto work = look();
    ASSERT_EQ(work.size(), 1U) << path;
    EXPECT_EQ(work[0].kind, Kind::kPublish);
    EXPECT_TRUE(work[0].append);
    done(work[0]);
    write(path, 20);
    work = look();
    ASSERT_EQ(work.size(), 1U) << path;
    EXPECT_EQ(work[0].kind, Kind::kExtend);
    done(work[0]);
  }
  EXPECT_FALSE(grows_by_name("outputs/model.pt"));
  EXPECT_FALSE(grows_by_name("outputs/a.log/model.pt"));
}

TEST_F(FileTrackerTest, AShrunkOrReplacedFileIsANewGenerationOnceItHasSettled) {
  write("logs/a.log", 10);
  done(look().at(0));
  write("logs/a.log", 5);
  EXPECT_TRUE(look().empty());
  auto work = wait();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].kind, Kind::kPublish);
  done(work[0]);
  replace("logs/a.log", 50);
  EXPECT_TRUE(look().empty());
  work = wait();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].kind, Kind::kPublish);
}

TEST_F(FileTrackerTest, WhatChangesWhileItIsCopiedIsTriedLaterAndLater) {
  write("outputs/model.bin", 100);
  std::vector<std::chrono::nanoseconds> distances;
  auto last = now_;
  for (int tries = 0; tries < 9; ++tries) {
    const auto work = wait(100);
    ASSERT_EQ(work.size(), 1U);
    tracker_.changed_meanwhile("outputs/model.bin", now_);
    distances.push_back(now_ - last);
    last = now_;
  }
  EXPECT_LE(distances[1], 3s);
  for (std::size_t i = 2; i < distances.size(); ++i) {
    EXPECT_GE(distances[i], distances[i - 1]);
    EXPECT_LE(distances[i], 61s);
  }
  EXPECT_GE(distances.back(), 60s);
  const auto waiting = tracker_.waiting(now_);
  ASSERT_EQ(waiting.size(), 1U);
  EXPECT_EQ(waiting[0].why, "it changes while it is copied");
}

TEST_F(FileTrackerTest, ADeletedFileIsToldOnceAndNotWhileItIsReplaced) {
  write("outputs/a", 1);
  write("outputs/b", 1);
  for (const Work& work : wait()) done(work);
  const FileFacts a = file("outputs/a");
  files_.erase("outputs/a");
  EXPECT_TRUE(look().empty());
  files_["outputs/a"] = a;
  EXPECT_TRUE(look().empty());
  files_.erase("outputs/a");
  const auto work = wait();
  ASSERT_EQ(work.size(), 1U);
  EXPECT_EQ(work[0].kind, Kind::kDelete);
  EXPECT_EQ(work[0].file.path, "outputs/a");
  EXPECT_TRUE(wait().empty());
}

TEST_F(FileTrackerTest, WhatIsInAFolderThatCannotBeReadIsNotDeleted) {
  write("outputs/deep/a", 1);
  done(wait().at(0));
  files_.clear();
  for (int i = 0; i < 5; ++i) {
    now_ += 1s;
    EXPECT_TRUE(tracker_.observe({}, now_, wall(), {"outputs/deep"}).empty());
  }
}

TEST_F(FileTrackerTest, AChangedModeOrALinkIsNoNewContent) {
  write("outputs/a", 1);
  done(wait().at(0));
  now_ += 5s;
  file("outputs/a").links = 2;
  file("outputs/a").ctime_ns = wall();
  EXPECT_TRUE(wait(5).empty());
  file("outputs/a").ctime_ns = wall();  // the time of a write that set the mtime back
  EXPECT_FALSE(wait(5).empty());
}

TEST_F(FileTrackerTest, ARefusedFileIsLookedAtAgainWhenItChanges) {
  write("outputs/a", 1);
  ASSERT_EQ(wait().size(), 1U);
  tracker_.refused("outputs/a");
  EXPECT_TRUE(wait().empty());
  write("outputs/a", 2);
  EXPECT_EQ(wait().size(), 1U);
}

TEST_F(FileTrackerTest, TheLastLookWaitsForNothing) {
  write("outputs/a", 1);
  write("logs/b.log", 1);
  write("outputs/c", 1);
  for (const Work& work : wait()) done(work);  // b.log, which grows
  for (const Work& work : wait()) done(work);
  write("outputs/a", 2);
  write("logs/b.log", 2);
  write("outputs/new", 1);
  files_.erase("outputs/c");
  std::map<std::string, Kind> kinds;
  for (const Work& work : tracker_.last_look(listing())) kinds[work.file.path] = work.kind;
  EXPECT_EQ(kinds, (std::map<std::string, Kind>{{"outputs/a", Kind::kPublish},
                                                {"logs/b.log", Kind::kExtend},
                                                {"outputs/new", Kind::kPublish},
                                                {"outputs/c", Kind::kDelete}}));
}

// Random programs: whatever they do, a file that is no log is never stored within a second of its
// last change, unless it was closed since; and when they are done everything is stored as it is.
TEST_F(FileTrackerTest, HoldsForRandomSchedules) {
  const char* const paths[] = {"outputs/a.bin", "outputs/b.pt", "logs/c.log", "logs/d.csv"};
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    const auto dice = [&](unsigned sides) { return random() % sides; };
    tracker_ = FileTracker();
    files_.clear();
    std::map<std::string, std::int64_t> closed_at;
    std::map<std::string, FileFacts> stored;
    const auto carry_out = [&](const std::vector<Work>& all, bool may_fail) {
      for (const Work& work : all) {
        const std::string& path = work.file.path;
        if (work.kind == Kind::kDelete) {
          ASSERT_FALSE(files_.contains(path)) << seed;
          stored.erase(path);
          continue;
        }
        if (!grows_by_name(path)) {
          const bool closed =
              closed_at.contains(path) && closed_at[path] >= work.file.facts.mtime_ns;
          ASSERT_TRUE(closed || wall() - work.file.facts.mtime_ns >= 1'000'000'000)
              << "seed " << seed << ", " << path;
        }
        if (may_fail && dice(4) == 0) {
          tracker_.changed_meanwhile(path, now_);
        } else {
          stored[path] = work.file.facts;
          done(work);
        }
      }
    };
    for (int step = 0; step < 200; ++step) {
      now_ += std::chrono::milliseconds(dice(1500));
      const std::string path = paths[dice(std::size(paths))];
      switch (dice(7)) {
        case 0: write(path, dice(1000)); break;
        case 1: replace(path, dice(1000)); break;
        case 2: files_.erase(path); break;
        case 3:
          if (files_.contains(path)) {
            closed_at[path] = wall();
            tracker_.closed(path, wall());
          }
          break;
        default: carry_out(look(std::chrono::milliseconds(dice(1200))), true);
      }
    }
    for (int i = 0; i < 200; ++i) carry_out(look(), false);
    ASSERT_EQ(stored, files_) << "seed " << seed;
    ASSERT_TRUE(tracker_.waiting(now_).empty()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace muster::outputs
