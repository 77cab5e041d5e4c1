#include "collector/replication/store_follower.h"

#include <fcntl.h>
#include <fstream>
#include <map>
#include <random>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "collector/store/digest.h"
#include "collector/store/store_bound.h"
#include "tests/support/scratch.h"

namespace muster::replication {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kStdout = "ranks/00000/attempt-0/stdout.log";

// What it was told, by path; of several generations the last.
class Told : public StreamSink {
 public:
  struct Stream {
    StreamDescription description;
    std::uint64_t size = 0;
    std::vector<StreamGap> gaps;
    std::uint64_t freed = 0;
    std::vector<StreamEnd> ends;
  };

  StreamNumber add(StreamDescription stream) override {
    const auto number = static_cast<StreamNumber>(streams.size());
    numbers[stream.path] = number;
    order.push_back(stream.path);
    streams.push_back({.description = std::move(stream)});
    return number;
  }
  void grown(StreamNumber stream, std::uint64_t size) override {
    streams[stream].size = size;
    grown_order.push_back(streams[stream].description.path);
  }
  void gap(StreamNumber stream, const StreamGap& gap) override {
    streams[stream].gaps.push_back(gap);
  }
  void freed(StreamNumber stream, std::uint64_t to) override { streams[stream].freed = to; }
  void ended(StreamNumber stream, const StreamEnd& end) override {
    streams[stream].ends.push_back(end);
  }
  void deleted(const std::string& path) override { gone.push_back(path); }

  Stream& of(const std::string& path) { return streams.at(numbers.at(path)); }

  std::vector<Stream> streams;
  std::map<std::string, StreamNumber> numbers;
  std::vector<std::string> order;
  std::vector<std::string> grown_order;
  std::vector<std::string> gone;
};

class StoreFollowerTest : public test::ScratchTest {
 protected:
  StoreFollowerTest()
      : run_(store::RunDirectory::create(scratch(), "run", 2).value()),
        ledger_(run_.streams_jsonl()),
        manifest_(run_.files_jsonl()) {
    follower_.emplace(run_, told_);
  }

  void append(const std::string& path, const std::string& text) {
    ASSERT_TRUE(make_directories((run_.root() / path).parent_path()));
    std::ofstream(run_.root() / path, std::ios::app) << text;
  }
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(make_directories((run_.root() / path).parent_path()));
    ASSERT_TRUE(replace_file(run_.root() / path, text));
  }
  std::string read_all(const std::string& path) {
    const StreamNumber number = told_.numbers.at(path);
    std::string text;
    while (text.size() < told_.streams[number].size) {
      char buffer[7];
      const auto piece = follower_->read(number, text.size(), buffer);
      EXPECT_TRUE(piece) << piece.error().message;
      if (!piece || (piece->bytes == 0 && piece->zeros == 0)) break;
      text.append(piece->zeros, '\0');
      text.append(buffer, piece->bytes);
    }
    return text;
  }
  static store::FileEntry file(const std::string& path, std::uint64_t generation,
                               std::uint64_t size, store::FileForm form = store::FileForm::kWhole) {
    store::FileEntry entry;
    entry.path = path;
    entry.generation = generation;
    entry.size = size;
    entry.xxh3 = "00";
    entry.form = form;
    return entry;
  }

  store::RunDirectory run_;
  store::StreamLedger ledger_;
  store::FileManifest manifest_;
  Told told_;
  std::optional<StoreFollower> follower_;
};

TEST_F(StoreFollowerTest, FindsStreamsWhenTheyComeAndTellsHowFarTheyAre) {
  EXPECT_FALSE(follower_->look());
  append(kStdout, "one\n");
  EXPECT_TRUE(follower_->look());
  EXPECT_EQ(told_.of(kStdout).description.kind, store::StreamKind::kStdout);
  EXPECT_EQ(told_.of(kStdout).size, 4U);
  EXPECT_FALSE(follower_->look());
  append(kStdout, "two\n");
  append("launcher/node-a.log", "x");
  append("ranks/00001/attempt-0/metrics.jsonl", "loss 1\n");
  EXPECT_TRUE(follower_->look());
  EXPECT_EQ(read_all(kStdout), "one\ntwo\n");
  EXPECT_EQ(read_all("ranks/00001/attempt-0/metrics.jsonl"), "loss 1\n");
  EXPECT_EQ(read_all("launcher/node-a.log"), "x");
}

TEST_F(StoreFollowerTest, ToldOfNothingThatDoesNotTravel) {
  append("metrics.db", "x");
  append("scratch/source/ranks/00000/stdout.log", "x");
  append("outputs/model", "x");  // its manifest says when it is one
  append(".muster/durable.json", "{}");
  ASSERT_EQ(::symlink("/etc/passwd", (run_.root() / kStdout).c_str()), 0);
  follower_->look();
  EXPECT_THAT(told_.order, IsEmpty());
}

TEST_F(StoreFollowerTest, AnIndexGoesBeforeItsBytes) {
  append(kStdout, "one\n");
  append(kStdout + ".index", "0123456789abcdef");
  follower_->look();
  EXPECT_THAT(told_.grown_order, ElementsAre(kStdout + ".index", kStdout));
}

TEST_F(StoreFollowerTest, GapsAndEndsAreTheLedgers) {
  append(kStdout, std::string(150, 'x'));
  ledger_.gap(kStdout, {50, std::nullopt, "disk_full"});
  follower_->look();
  EXPECT_THAT(told_.of(kStdout).gaps, IsEmpty());  // its end is not known yet
  ledger_.gap(kStdout, {50, 100, "disk_full"});
  ledger_.end(kStdout, {150, 100, "aa"});
  ASSERT_TRUE(ledger_.flush());
  follower_->look();
  ASSERT_EQ(told_.of(kStdout).gaps.size(), 1U);
  EXPECT_EQ(told_.of(kStdout).gaps[0].to, 100U);
  ASSERT_EQ(told_.of(kStdout).ends.size(), 1U);
  EXPECT_EQ(told_.of(kStdout).ends[0].length, 150U);
  EXPECT_EQ(told_.of(kStdout).ends[0].digest, "");  // nobody has all bytes
}

TEST_F(StoreFollowerTest, TheEndOfAStreamIsToldWithAllOfItsBytes) {
  append(kStdout, "one\n");
  ledger_.end(kStdout, {4, 4, "aa"});
  ASSERT_TRUE(ledger_.flush());
  follower_->look();
  EXPECT_EQ(told_.of(kStdout).size, 4U);
  ASSERT_EQ(told_.of(kStdout).ends.size(), 1U);
  EXPECT_EQ(told_.of(kStdout).ends[0].digest, "aa");
  follower_->finish();
  EXPECT_EQ(told_.of(kStdout).ends.size(), 1U);
}

TEST_F(StoreFollowerTest, WhatHasNoEndOnRecordEndsWhereItIs) {
  append("events.jsonl", "{}\n");
  ledger_.gap(kStdout, {4, std::nullopt, "launcher_lost"});
  append(kStdout, "one\n");
  follower_->look();
  follower_->finish();
  EXPECT_EQ(told_.of("events.jsonl").ends.at(0).length, 3U);
  EXPECT_EQ(told_.of("events.jsonl").ends.at(0).digest, store::digest_of("{}\n"));
  EXPECT_EQ(told_.of(kStdout).gaps.at(0).to, std::nullopt);
  EXPECT_EQ(told_.of(kStdout).ends.at(0).length, 4U);
}

TEST_F(StoreFollowerTest, EveryRecordOfTheRunTravelsAndItsEndLast) {
  put("run.json", R"({"status": "running"})");
  follower_->look();
  const auto first = told_.of("run.json").description.generation;
  put("run.json", R"({"status": "stopping"})");
  follower_->look();
  EXPECT_GT(told_.of("run.json").description.generation, first);
  EXPECT_FALSE(told_.of("run.json").description.last);
  put("run.json", R"({"status": "succeeded"})");
  put("report.txt", "fine");
  append("events.jsonl", "{}\n");
  follower_->look();
  EXPECT_TRUE(follower_->is_over());
  EXPECT_EQ(read_all("run.json"), R"({"status": "stopping"})");
  follower_->finish();
  EXPECT_EQ(read_all("run.json"), R"({"status": "succeeded"})");
  EXPECT_TRUE(told_.of("run.json").description.last);
  EXPECT_EQ(told_.order.back(), "run.json");
  EXPECT_EQ(read_all("report.txt"), "fine");
}

TEST_F(StoreFollowerTest, FilesAreWhatTheManifestSays) {
  put("outputs/model", "weights");
  manifest_.stored(file("outputs/model", 3, 7));
  follower_->look();
  EXPECT_EQ(told_.of("outputs/model").description.generation, 3U);
  EXPECT_TRUE(told_.of("outputs/model").description.whole);
  EXPECT_EQ(read_all("outputs/model"), "weights");
  EXPECT_TRUE(told_.of("outputs/model").ends.at(0).commit);

  append("logs/events.tfevents", "abc");
  manifest_.stored(file("logs/events.tfevents", 1, 3, store::FileForm::kAppend));
  follower_->look();
  append("logs/events.tfevents", "def");
  manifest_.stored(file("logs/events.tfevents", 1, 6, store::FileForm::kAppend));
  follower_->look();
  EXPECT_EQ(read_all("logs/events.tfevents"), "abcdef");
  EXPECT_THAT(told_.of("logs/events.tfevents").ends, IsEmpty());

  manifest_.deleted("outputs/model");
  follower_->look();
  EXPECT_THAT(told_.gone, ElementsAre("outputs/model"));
  follower_->finish();
  EXPECT_TRUE(told_.of("logs/events.tfevents").ends.at(0).commit);
}

// It is not here any more, whatever of it has travelled; and that is told before what has its name.
TEST_F(StoreFollowerTest, WhatMadeWayIsGivenUp) {
  put("outputs/z/in", "weights");
  manifest_.stored(file("outputs/z/in", 1, 7));
  follower_->look();
  const StreamNumber before = told_.numbers.at("outputs/z/in");
  std::filesystem::remove_all(run_.root() / "outputs/z");
  put("outputs/z", "a file");
  manifest_.made_way("outputs/z/in");
  manifest_.stored(file("outputs/z", 1, 6));
  // Here and gone between two looks: nothing is sent of it.
  manifest_.stored(file("outputs/y", 1, 6));
  manifest_.made_way("outputs/y");
  follower_->look();
  EXPECT_FALSE(told_.streams[before].ends.back().commit);
  EXPECT_THAT(told_.gone, ElementsAre("outputs/y", "outputs/z/in"));
  EXPECT_EQ(read_all("outputs/z"), "a file");
  EXPECT_FALSE(told_.numbers.contains("outputs/y"));
}

TEST_F(StoreFollowerTest, ALaterGenerationGivesUpTheOneBefore) {
  put("outputs/model", "weights");
  manifest_.stored(file("outputs/model", 1, 7));
  follower_->look();
  const StreamNumber before = told_.numbers.at("outputs/model");
  put("outputs/model", "weights!");
  manifest_.stored(file("outputs/model", 2, 8));
  follower_->look();
  EXPECT_FALSE(told_.streams[before].ends.back().commit);
  EXPECT_EQ(read_all("outputs/model"), "weights!");
}

TEST_F(StoreFollowerTest, FilesWithoutAManifestAreFoundAtTheEnd) {
  put("outputs/a/model", "weights");
  follower_->look();
  EXPECT_THAT(told_.order, IsEmpty());
  follower_->finish();
  EXPECT_EQ(read_all("outputs/a/model"), "weights");
}

TEST_F(StoreFollowerTest, HolesOfFilesAreNoBytes) {
  put("outputs/sparse", "x");
  ASSERT_EQ(::truncate((run_.root() / "outputs/sparse").c_str(), 1 << 20), 0);
  manifest_.stored(file("outputs/sparse", 1, 1 << 20));
  follower_->look();
  char buffer[4096];
  const auto piece = follower_->read(told_.numbers.at("outputs/sparse"), 8192, buffer);
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->zeros, (1U << 20) - 8192U);
  EXPECT_EQ(read_all("outputs/sparse").size(), 1U << 20);
}

TEST_F(StoreFollowerTest, WhatIsFreedIsOnRecordAndAHole) {
  append(kStdout, std::string(1 << 20, 'x'));
  follower_->look();
  follower_->free(0, 1 << 19, "unix:/c");
  EXPECT_EQ(told_.of(kStdout).freed, 1U << 19);
  const auto records = store::read_ledger(run_.streams_jsonl());
  EXPECT_EQ(records->at(kStdout).freed->to, 1U << 19);
  struct stat facts {};
  ASSERT_EQ(::stat((run_.root() / kStdout).c_str(), &facts), 0);
  EXPECT_EQ(facts.st_size, 1 << 20);
  if (follower_->cannot_free().empty()) {
    EXPECT_LE(facts.st_blocks * 512, (1 << 19) + 65536);
  }
}

TEST_F(StoreFollowerTest, WhatIsDroppedIsAGapHereAndThere) {
  append(kStdout, std::string(1 << 20, 'x'));
  follower_->look();
  follower_->drop(0, 4096, 8192);
  ASSERT_EQ(told_.of(kStdout).gaps.size(), 1U);
  EXPECT_EQ(told_.of(kStdout).gaps[0].reason, "overflow");
  char buffer[16];
  EXPECT_FALSE(follower_->read(0, 4096, buffer));
  EXPECT_EQ(follower_->read(0, 8192, buffer)->bytes, 16U);
  follower_->look();  // reads its own record
  EXPECT_EQ(told_.of(kStdout).gaps.size(), 1U);
  follower_->finish();
  EXPECT_EQ(told_.of(kStdout).ends.at(0).length, 1U << 20);
  EXPECT_EQ(told_.of(kStdout).ends.at(0).digest, "");
}

TEST_F(StoreFollowerTest, ANewFollowerOfTheSameStoreKnowsWhatIsGone) {
  append(kStdout, std::string(1 << 20, 'x'));
  follower_->look();
  follower_->free(0, 4096, "unix:/c");
  follower_->drop(0, 4096, 8192);
  Told told;
  StoreFollower again(run_, told);
  again.look();
  EXPECT_EQ(told.of(kStdout).freed, 4096U);
  EXPECT_EQ(told.of(kStdout).gaps.at(0).from, 4096U);
  EXPECT_THAT(again.streams().at(0).gone.all(), ElementsAre(store::OffsetRange{0, 8192}));
}

// What of a file takes room.
store::OffsetRanges data_of(const std::string& path) {
  store::OffsetRanges data;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  off_t at = 0;
  while ((at = ::lseek(fd.get(), at, SEEK_DATA)) >= 0) {
    const off_t end = ::lseek(fd.get(), at, SEEK_HOLE);
    data.add(static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(end));
    at = end;
  }
  return data;
}

// In whatever order a run writes, a collector receives and makes durable, and room is made.
TEST_F(StoreFollowerTest, TheFilesKeepTheBoundAndTheLedgerIsTrue) {
  constexpr std::uint64_t kMiB = 1U << 20;
  const std::string stderr_log = "ranks/00000/attempt-0/stderr.log";
  struct Written {
    std::uint64_t size = 0, received = 0, durable = 0;
  };
  for (unsigned seed = 1; seed <= 4; ++seed) {
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t limit) { return random() % (limit + 1); };
    const auto run = store::RunDirectory::create(scratch(), "r" + std::to_string(seed), 1).value();
    Told told;
    StoreFollower follower(run, told);
    const store::StoreBound bound{.max_size = 4 * kMiB};
    std::map<std::string, Written> written{{kStdout, {}}, {stderr_log, {}}};
    for (int step = 0; step < 120; ++step) {
      for (auto& [path, each] : written) {
        const std::uint64_t more = below(path == kStdout ? kMiB : 64 << 10);
        std::ofstream(run.root() / path, std::ios::app | std::ios::binary)
            << std::string(more, static_cast<char>('a' + step % 26));
        each.size += more;
        if (below(2) > 0) each.received += below(each.size - each.received);
        if (below(3) == 0) each.durable += below(each.received - each.durable);
      }
      follower.look();
      std::vector<store::BoundedStream> streams;
      for (const FollowedStream& stream : follower.streams()) {
        const Written& each = written.at(stream.path);
        streams.push_back({.kind = stream.kind,
                           .size = stream.size,
                           .gone = stream.gone.all(),
                           .durable = each.durable,
                           .received = each.received});
      }
      const auto decision = store::decide_room(bound, streams, {}, {});
      for (const store::Room& room : decision.freed) follower.free(room.stream, room.to, "unix:/c");
      for (const store::Room& room : decision.dropped) {
        follower.drop(room.stream, room.from, room.to);
      }
      const store::StreamRecords records = store::read_ledger(run.streams_jsonl()).value();
      std::uint64_t on_disk = 0;
      for (const auto& [path, each] : written) {
        const store::OffsetRanges data = data_of((run.root() / path).string());
        const std::uint64_t kept = each.size - store::bytes_outside(data.all(), 0, each.size);
        on_disk += kept;
        const auto record = records.find(path);
        store::OffsetRanges missing;
        if (record != records.end()) {
          for (const store::Gap& gap : record->second.gaps) missing.add(gap.from, *gap.to);
          if (record->second.freed) {
            ASSERT_LE(record->second.freed->to, each.durable);
            missing.add(0, record->second.freed->to);
          }
        }
        // What it says is gone takes no room, and what takes none is said to be gone.
        for (const store::OffsetRange& piece : store::outside(missing.all(), 0, each.size)) {
          ASSERT_EQ(store::bytes_outside(data.all(), piece.from, piece.to), 0U) << path;
        }
        ASSERT_EQ(kept, store::bytes_outside(missing.all(), 0, each.size)) << path << " " << step;
      }
      ASSERT_LE(on_disk, bound.max_size) << "seed " << seed << ", step " << step;
    }
  }
}

TEST_F(StoreFollowerTest, BytesThatSomebodyTookAwayAreAGap) {
  append(kStdout, "one\ntwo\n");
  follower_->look();
  ASSERT_EQ(::truncate((run_.root() / kStdout).c_str(), 4), 0);
  char buffer[16];
  EXPECT_FALSE(follower_->read(0, 4, buffer));
  follower_->unreadable(0);
  ASSERT_EQ(told_.of(kStdout).gaps.size(), 1U);
  EXPECT_EQ(told_.of(kStdout).gaps[0].from, 4U);
  EXPECT_EQ(told_.of(kStdout).gaps[0].to, 8U);
}

TEST_F(StoreFollowerTest, ALedgerThatIsReadInPiecesIsReadOnce) {
  NewLines lines(run_.streams_jsonl().string());
  EXPECT_EQ(lines.take(), "");
  append(".muster/streams.jsonl", "one\ntw");
  EXPECT_EQ(lines.take(), "one\n");
  append(".muster/streams.jsonl", "o\n");
  EXPECT_EQ(lines.take(), "two\n");
  EXPECT_EQ(lines.take(), "");
}

}  // namespace
}  // namespace muster::replication
