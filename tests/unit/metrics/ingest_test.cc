#include "collector/metrics/ingest.h"

#include <fstream>
#include <fcntl.h>
#include <sys/file.h>

#include <gmock/gmock.h>

#include "collector/metrics/query.h"
#include "collector/metrics/run_patterns.h"
#include "collector/metrics/tail.h"
#include "collector/metrics/tfevents.h"
#include "tests/support/scratch.h"

namespace muster::metrics {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* kRank0 = "ranks/00000/attempt-0/metrics.jsonl";
constexpr const char* kRank1 = "ranks/00001/attempt-0/metrics.jsonl";
constexpr const char* kStdout = "ranks/00000/attempt-0/stdout.log";

class IngestTest : public test::ScratchTest {
 protected:
  void append(const fs::path& name, std::string_view text) const {
    fs::create_directories((scratch() / name).parent_path());
    std::ofstream(scratch() / name, std::ios::app | std::ios::binary) << text;
  }

  // What a new process takes, and what is there then.
  std::uint64_t ingest(bool final = false, const std::vector<PatternSpec>& specs = {}) {
    std::vector<Patterns> patterns;
    for (const PatternSpec& spec : specs) {
      patterns.push_back(std::move(*Patterns::compile(std::span(&spec, 1))));
    }
    store_.emplace(run(), environment());
    Ingest ingest(run_, *store_, std::move(patterns));
    const auto look = ingest.look(final);
    EXPECT_TRUE(look) << look.error().message;
    return look->points;
  }

  std::vector<MetricSummary> summary(const Selection& selection = {}) {
    auto database = store_->database();
    EXPECT_TRUE(database);
    return *summarize(**database, selection);
  }

  std::map<std::string, std::string> environment() const {
    return {{"MUSTER_CACHE_DIR", (scratch() / "cache").string()}};
  }

  const store::RunDirectory& run() {
    run_ = store::RunDirectory(scratch());
    return run_;
  }

  store::RunDirectory run_{fs::path()};
  std::optional<MetricsStore> store_;
};

TEST_F(IngestTest, MakesNoDatabaseForARunWithoutMetrics) {
  append(kRank0, "");
  append(kStdout, "loss=1\n");
  EXPECT_EQ(ingest(true), 0U);
  EXPECT_EQ(store_->opened(), nullptr);
  EXPECT_FALSE(fs::exists(scratch() / "metrics.db"));
}

TEST_F(IngestTest, NodesAloneMakeNoDatabaseForALauncher) {
  append("node_metrics/node-a.jsonl", R"({"time": 1.5, "node": "node-a", "values": {"cpu": 7}})"
                                      "\n");
  store_.emplace(run(), environment());
  Ingest ingest(run_, *store_, {}, Ingest::Nodes::kBesideOthers);
  ASSERT_TRUE(ingest.look(true));
  EXPECT_EQ(store_->opened(), nullptr);
  EXPECT_FALSE(fs::exists(scratch() / "metrics.db"));
  append(kRank0, "loss 1\n");
  const auto both = ingest.look(true);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->points, 2U) << "in the same look";
  // Whoever asks gets them in any case.
  fs::remove(scratch() / kRank0);
  fs::remove(scratch() / "metrics.db");
  EXPECT_EQ(this->ingest(), 1U);
}

TEST_F(IngestTest, WhatAKilledProcessLeftOnTheNodesDiskIsSwept) {
  const fs::path place = scratch() / "cache/metrics";
  const auto make = [&](const std::string& name, bool old) {
    fs::create_directories(place / name);
    std::ofstream(place / name / "metrics.db") << "points";
    if (old) fs::last_write_time(place / name, fs::file_time_type::clock::now() - 1h);
  };
  make("muster-metrics-killed", true);
  make("muster-metrics-inuse", true);
  make("muster-metrics-new", false);
  make("another", true);
  const Fd used(::open((place / "muster-metrics-inuse").c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(::flock(used.get(), LOCK_EX), 0);
  // A run directory where no database can be.
  MetricsStore elsewhere(store::RunDirectory("/proc/self"), environment());
  ASSERT_TRUE(elsewhere.database());
  EXPECT_TRUE(elsewhere.is_elsewhere());
  EXPECT_FALSE(fs::exists(place / "muster-metrics-killed"));
  EXPECT_TRUE(fs::exists(place / "muster-metrics-inuse/metrics.db"));
  EXPECT_TRUE(fs::exists(place / "muster-metrics-new/metrics.db"));
  EXPECT_TRUE(fs::exists(place / "another/metrics.db"));
}

TEST_F(IngestTest, TakesEachLineOnceHoweverOftenItIsAsked) {
  append(kRank0, "loss 1 1\nloss 0.5 2\nlo");
  append(kRank1, "loss 3 1\nloss 2.5 2\n");
  append("node_metrics/node-a.jsonl", "{\"cpu\": 0.5}\n");
  EXPECT_EQ(ingest(), 5U);
  EXPECT_EQ(ingest(), 0U);
  append(kRank0, "ss 0.25 3\n");
  EXPECT_EQ(ingest(), 1U);
  EXPECT_EQ(ingest(true), 0U);
  const auto all = summary();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].name, "cpu");
  EXPECT_EQ(all[0].ranks[0].node, "node-a");
  EXPECT_EQ(all[1].count, 5U);
  EXPECT_EQ(all[1].last_step, 3);
  EXPECT_EQ(all[1].least, 0.25);
  EXPECT_EQ(all[1].mean, 1.375);
  EXPECT_EQ(all[1].most, 2.5);
}

TEST_F(IngestTest, TakesALastLineWithoutItsNewlineWhenNoMoreWillCome) {
  append(kRank0, "loss 1");
  EXPECT_EQ(ingest(false), 0U);
  EXPECT_EQ(ingest(true), 1U);
}

TEST_F(IngestTest, CountsBadLinesWithAnExample) {
  append(kRank0, "loss 1\nwhat is this?\n\x1b[31m\n\nloss 2\n");
  EXPECT_EQ(ingest(true), 2U);
  const auto bad = *(*store_->database())->bad_lines();
  ASSERT_THAT(bad, SizeIs(1));
  EXPECT_EQ(bad[0].stream, kRank0);
  EXPECT_EQ(bad[0].count, 2U);
  EXPECT_THAT(bad[0].example, HasSubstr("`what is this?`"));
  EXPECT_EQ(ingest(true), 0U);
  EXPECT_EQ((*(*store_->database())->bad_lines())[0].count, 2U);
}

TEST_F(IngestTest, GoesOnBehindAGapAndBehindALineWithoutAnEnd) {
  append(kRank0, std::string("loss 1\nlo") + std::string(5000, '\0') + "ss 7\nloss 2\n" +
                     std::string(3 << 20, 'x') + "\nloss 3\n");
  EXPECT_EQ(ingest(true), 3U);
}

TEST_F(IngestTest, ReadsEventFilesAsTheyGrow) {
  const std::string file = "logs/train/events.out.tfevents.1.node.2.0";
  const std::string record = scalar_record(5, 2, "loss", 0.5);
  append(file, version_record(1) + scalar_record(4, 1, "loss", 1) + record.substr(0, 20));
  EXPECT_EQ(ingest(), 1U);
  append(file, record.substr(20));
  append("outputs/tb/events.out.tfevents.1.x", scalar_record(4, 1, "loss", 9));
  EXPECT_EQ(ingest(), 2U);
  const auto all = summary();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].source, "logs/train");
  EXPECT_EQ(all[0].ranks[0].last, (Point{2, 5'000'000'000, 0.5}));
  EXPECT_EQ(all[1].source, "outputs/tb");
}

TEST_F(IngestTest, ReadsAnEventFileAnewThatWasReplaced) {
  const std::string file = "logs/events.out.tfevents.1.node";
  append(file, version_record(1) + scalar_record(4, 1, "loss", 1));
  EXPECT_EQ(ingest(), 1U);
  fs::remove(scratch() / file);
  append(file, version_record(2) + scalar_record(5, 1, "loss", 2) + scalar_record(6, 2, "loss", 3));
  EXPECT_EQ(ingest(), 2U);
}

TEST_F(IngestTest, GoesOnBehindATornRecord) {
  const std::string file = "logs/events.out.tfevents.1.node";
  const std::string torn = scalar_record(4, 1, "loss", 1);
  std::string changed = torn;
  changed[18] ^= 1;
  append(file, changed + "garbage" + scalar_record(5, 2, "loss", 2) + torn.substr(0, 30));
  EXPECT_EQ(ingest(false), 0U);  // it may be whole in a moment
  EXPECT_EQ(ingest(true), 1U);
  EXPECT_EQ((*(*store_->database())->bad_lines())[0].count, 3U);
}

TEST_F(IngestTest, AppliesPatternsToWhatIsThereAlready) {
  append(kStdout, "start\rstep 1 loss=0.5\rstep 2 loss=0.25\ndone accuracy: 0.9\n");
  const PatternSpec loss{"loss", "loss=([0-9.]+)"};
  EXPECT_EQ(ingest(true, {loss}), 2U);
  EXPECT_EQ(ingest(true, {loss}), 0U);
  EXPECT_EQ(ingest(true, {loss, {"accuracy", "accuracy: ([0-9.]+)"}}), 1U);
  EXPECT_THAT(summary(), SizeIs(2));
  EXPECT_EQ(summary()[0].source, "stdout");
}

TEST_F(IngestTest, FindsThePatternsOfARunInItsPlan) {
  append("plan.json", R"x({"metric_patterns": [{"preset": "key=value"}, 3,
                          {"name": "loss", "regex": "l: ([0-9]+)"}]})x");
  std::vector<Sample> samples;
  patterns_of_run(run()).apply("l: 3 a=1", samples);
  EXPECT_THAT(samples, SizeIs(2));
  EXPECT_TRUE(patterns_of_run(store::RunDirectory(scratch() / "none")).empty());
}

TEST_F(IngestTest, SetsADamagedDatabaseAsideAndTakesAllAnew) {
  append(kRank0, "loss 1\n");
  append("metrics.db", std::string(10'000, 'x'));
  EXPECT_EQ(ingest(true), 1U);
  EXPECT_THAT(store_->notes(), ElementsAre(HasSubstr("metrics-damaged-1.db")));
  EXPECT_TRUE(fs::exists(scratch() / "metrics-damaged-1.db"));
}

TEST_F(IngestTest, StopsWhenItIsHurriedAndGoesOnLater) {
  append(kRank0, "loss 1\n");
  append(kRank1, "loss 1\n");
  store_.emplace(run(), environment());
  Ingest ingest(run_, *store_, {});
  int asked = 0;
  EXPECT_EQ(ingest.look(false, [&] { return ++asked > 2; })->points, 1U);
  EXPECT_EQ(ingest.look(false)->points, 1U);
}

TEST_F(IngestTest, TellsWhatIsNewWithoutADatabase) {
  append(kRank0, "loss 1\n");
  Tail tail(run(), {});
  std::vector<Sample> seen;
  const auto use = [&](const Origin&, const Sample& sample) { seen.push_back(sample); };
  ASSERT_TRUE(tail.look(false, use));
  EXPECT_THAT(seen, SizeIs(0));
  append(kRank0, "loss 2\n");
  append(kRank1, "loss 3\n");
  ASSERT_TRUE(tail.look(true, use));
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[0].step, 1);
  EXPECT_EQ(seen[1].value, 3);
  EXPECT_FALSE(fs::exists(scratch() / "metrics.db"));
}

}  // namespace
}  // namespace muster::metrics
