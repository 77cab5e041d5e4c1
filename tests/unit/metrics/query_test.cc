#include "collector/metrics/query.h"

#include <cmath>

#include <gmock/gmock.h>

#include "collector/sqlite/local_disk.h"
#include "collector/metrics/export.h"
#include "collector/metrics/tfevents.h"
#include "tests/support/scratch.h"

namespace muster::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class QueryTest : public test::ScratchTest {
 protected:
  QueryTest() : db_(*MetricsDb::open(scratch() / "metrics.db", MetricsDb::Sharing::kShared)) {}

  void add(int rank, const std::vector<Sample>& samples, const std::string& source = "metrics") {
    const std::string stream = source + std::to_string(rank);
    ASSERT_TRUE(db_.begin());
    ASSERT_TRUE(db_.add({stream, rank, "", source}, {1, 0, 0, ""}, samples));
    ASSERT_TRUE(db_.commit());
  }

  std::string exported(ExportFormat format) {
    std::string text;
    EXPECT_TRUE(export_text(db_, {}, format, [&](std::string_view part) {
      text += part;
      return true;
    }));
    return text;
  }

  MetricsDb db_;
};

Sample sample(std::string name, double value, std::int64_t step, std::int64_t time = 1) {
  return {std::move(name), value, step, time, ""};
}

TEST_F(QueryTest, SelectsByNameRankAndTime) {
  add(0, {sample("train/loss", 1, 1, 10), sample("accuracy", 2, 1, 20)});
  add(3, {sample("train/loss", 3, 1, 30)});
  const auto names_of = [&](const Selection& selection) {
    std::vector<std::string> names;
    const auto found = *summarize(db_, selection);
    for (const MetricSummary& each : found) {
      names.push_back(each.name + "@" + std::to_string(each.ranks.size()));
    }
    return names;
  };
  EXPECT_THAT(names_of({}), ElementsAre("accuracy@1", "train/loss@2"));
  EXPECT_THAT(names_of({{"train*"}, {}, {}}), ElementsAre("train/loss@2"));
  EXPECT_THAT(names_of({{}, {3}, {}}), ElementsAre("train/loss@1"));
  EXPECT_THAT(names_of({{}, {}, 25}), ElementsAre("train/loss@1"));
  EXPECT_THAT(names_of({{"x"}, {}, {}}), SizeIs(0));
}

TEST_F(QueryTest, LeavesOutWhatIsNoNumberWhereOthersAre) {
  add(0, {sample("x", std::nan(""), 1)});
  add(1, {sample("x", 2, 1)});
  add(0, {sample("y", std::nan(""), 1)}, "stdout");
  const auto all = *summarize(db_, {});
  EXPECT_EQ(all[0].mean, 2);
  EXPECT_TRUE(std::isnan(all[1].mean));
}

TEST_F(QueryTest, BandsAreExactForShortSeries) {
  add(0, {sample("x", 1, 1), sample("x", 2, 2)});
  add(1, {sample("x", 3, 1), sample("x", 6, 5)});
  const auto metric = summarize(db_, {})->front();
  EXPECT_THAT(*bands(db_, metric, {}),
              ElementsAre(Band{1, 1, 1, 2, 3}, Band{2, 1, 2, 2, 2}, Band{5, 1, 6, 6, 6}));
}

TEST_F(QueryTest, BandsKeepTheSpikesOfLongSeries) {
  std::vector<Sample> many;
  for (int i = 0; i < 50'000; ++i)
    many.push_back(sample("x", i == 31'007 ? 1000 : i == 12 ? -7 : 1, i));
  add(0, many);
  const auto metric = summarize(db_, {})->front();
  const auto reduced = *bands(db_, metric, {});
  EXPECT_LE(reduced.size(), kMostBands);
  EXPECT_GT(reduced.size(), kMostBands / 2);
  double least = 0, most = 0;
  for (const Band& band : reduced) {
    least = std::min(least, band.least);
    most = std::max(most, band.most);
  }
  EXPECT_EQ(least, -7);
  EXPECT_EQ(most, 1000);
}

TEST_F(QueryTest, BandsCopeWithStepsFromEndToEnd) {
  add(0, {sample("x", 1, INT64_MIN), sample("x", 2, 0), sample("x", 3, INT64_MAX)});
  const auto metric = summarize(db_, {})->front();
  EXPECT_THAT(*bands(db_, metric, {}), SizeIs(3));
}

TEST_F(QueryTest, ExportsText) {
  add(0, {sample("loss, \"train\"", 0.1, 1, 1'700'000'000'000'000'000)});
  add(-1, {sample("x", std::nan(""), 2, 0)}, "logs/a");
  EXPECT_EQ(
      exported(ExportFormat::kCsv),
      "name,labels,rank,node,source,step,time,value\n"
      "\"loss, \"\"train\"\"\",,0,,metrics,1,2023-11-14T22:13:20.000000Z,0.10000000000000001\n"
      "x,,,,logs/a,2,1970-01-01T00:00:00.000000Z,nan\n");
  EXPECT_EQ(exported(ExportFormat::kJsonl),
            R"({"name":"loss, \"train\"","rank":0,"source":"metrics","step":1,)"
            R"("time":"2023-11-14T22:13:20.000000Z","value":0.1})"
            "\n"
            R"({"name":"x","source":"logs/a","step":2,"time":"1970-01-01T00:00:00.000000Z",)"
            R"("value":"NaN"})"
            "\n");
}

TEST_F(QueryTest, ExportsEventFilesThatOnlyGrow) {
  add(0, {sample("loss", 0.1, 1, 1'700'000'000'123'456'789)});
  add(12, {sample("loss", 2, 1)});
  add(-1, {sample("loss", 3, 1)}, "logs/a");
  EXPECT_EQ(export_tensorboard(db_, {}, scratch() / "tb", true)->folders, 2U);
  const auto first = export_tensorboard(db_, {}, scratch() / "all", false);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->folders, 3U);
  EXPECT_EQ(first->points, 3U);
  const auto file = scratch() / "all/rank-00000/events.out.tfevents.0.muster";
  const std::string before = read(file);
  EXPECT_EQ(export_tensorboard(db_, {}, scratch() / "all", false)->points, 0U);
  EXPECT_EQ(read(file), before);
  add(0, {sample("loss", 0.2, 2)});
  // An export that was killed within a record.
  std::filesystem::resize_file(scratch() / "all/rank-00012/events.out.tfevents.0.muster", 60);
  EXPECT_EQ(export_tensorboard(db_, {}, scratch() / "all", false)->points, 2U);
  EXPECT_THAT(read(file), testing::StartsWith(before));
  std::vector<Sample> samples;
  const std::string after = read(file);
  EXPECT_TRUE(
      read_event(read_record(std::string_view(after).substr(before.size())).bytes, samples));
  EXPECT_EQ(samples.at(0).value, 0.2F);
}

TEST(DatabasePlace, TrustsOnlyFileSystemsOfThisNode) {
  EXPECT_TRUE(sqlite::keeps_databases(0xEF53L));
  EXPECT_TRUE(sqlite::keeps_databases(0x01021994L));
  EXPECT_FALSE(sqlite::keeps_databases(0x6969L));      // NFS
  EXPECT_FALSE(sqlite::keeps_databases(0x0BD00BD0L));  // Lustre
  EXPECT_FALSE(sqlite::keeps_databases(0x47504653L));  // GPFS
  EXPECT_FALSE(sqlite::keeps_databases(0xFF534D42L));  // CIFS
  EXPECT_FALSE(sqlite::keeps_databases(0x65735546L));  // FUSE
  EXPECT_FALSE(sqlite::keeps_databases(0x01021997L));  // 9p
  EXPECT_FALSE(sqlite::keeps_databases(0x12345678L));
}

}  // namespace
}  // namespace muster::metrics
