#include "collector/metrics/metrics_db.h"

#include <cmath>
#include <limits>
#include <thread>

#include <gmock/gmock.h>

#include "tests/support/scratch.h"

namespace muster::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class MetricsDbTest : public test::ScratchTest {
 protected:
  std::filesystem::path file() const { return scratch() / "metrics.db"; }

  MetricsDb opened(MetricsDb::Sharing sharing = MetricsDb::Sharing::kShared) const {
    auto db = MetricsDb::open(file(), sharing);
    EXPECT_TRUE(db) << db.error().message;
    return std::move(*db);
  }

  static void add(MetricsDb& db, const std::vector<Sample>& samples, std::uint64_t offset = 1,
                  const std::string& stream = "s") {
    ASSERT_TRUE(db.begin());
    ASSERT_TRUE(db.add({stream, 0, "", "metrics"}, {offset, 0, 0, ""}, samples));
    ASSERT_TRUE(db.commit());
  }

  static std::vector<Point> points(MetricsDb& db, std::int64_t series = 1) {
    std::vector<Point> all;
    EXPECT_TRUE(db.points(series, [&](const Point& point) { all.push_back(point); }));
    return all;
  }
};

Sample arrived(std::string name, double value, std::int64_t time) {
  return {std::move(name), value, std::nullopt, time, "", true};
}

TEST_F(MetricsDbTest, KeepsPointsInTheOrderOfTheirSteps) {
  MetricsDb db = opened();
  add(db, {{"loss", 3, 30, 1, ""}, {"loss", 1, 10, 2, ""}, {"loss", 2, 20, 3, ""}});
  EXPECT_THAT(points(db), ElementsAre(Point{10, 2, 1}, Point{20, 3, 2}, Point{30, 1, 3}));
  EXPECT_EQ(**db.last_point(1), (Point{30, 1, 3}));
  EXPECT_FALSE(*db.last_point(2));
}

TEST_F(MetricsDbTest, NumbersWhatHasNoStepAndTellsApartWhatArrivedTogether) {
  MetricsDb db = opened();
  add(db, {arrived("loss", 1, 5), arrived("loss", 2, 5)});
  add(db, {arrived("loss", 3, 5)}, 2);
  EXPECT_THAT(points(db), ElementsAre(Point{0, 5, 1}, Point{1, 6, 2}, Point{2, 7, 3}));
  Sample stepped = arrived("loss", 4, 5);
  stepped.step = 0;
  add(db, {stepped}, 3);
  EXPECT_THAT(points(db),
              ElementsAre(Point{0, 5, 1}, Point{0, 8, 4}, Point{1, 6, 2}, Point{2, 7, 3}));
}

TEST_F(MetricsDbTest, KeepsNumbersThatAreNone) {
  MetricsDb db = opened();
  const double infinity = std::numeric_limits<double>::infinity();
  add(db, {{"x", std::nan(""), 1, 1, ""}, {"x", -infinity, 2, 1, ""}, {"x", 1e300, 3, 1, ""}});
  const auto all = points(db);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_TRUE(std::isnan(all[0].value));
  EXPECT_EQ(all[1].value, -infinity);
  EXPECT_EQ(all[2].value, 1e300);
}

TEST_F(MetricsDbTest, StoresACursorWithItsPointsOrNeither) {
  {
    MetricsDb db = opened();
    add(db, {arrived("loss", 1, 1)}, 10);
    ASSERT_TRUE(db.begin());
    const std::vector<Sample> more{arrived("loss", 2, 2), arrived("accuracy", 1, 2)};
    ASSERT_TRUE(db.add({"s", 0, "", "metrics"}, {20, 0, 1, "bad"}, more));
    // The reader dies here.
  }
  MetricsDb db = opened();
  EXPECT_EQ(db.cursor("s")->offset, 10U);
  EXPECT_EQ(db.cursor("other")->offset, 0U);
  EXPECT_THAT(points(db), ElementsAre(Point{0, 1, 1}));
  EXPECT_THAT(*db.bad_lines(), IsEmpty());
  ASSERT_TRUE(db.begin());
  ASSERT_TRUE(db.add({"s", 0, "", "metrics"}, {20, 0, 1, "bad"}, {}));
  ASSERT_TRUE(db.commit());
  EXPECT_EQ(db.bad_lines()->at(0).example, "bad");
}

TEST_F(MetricsDbTest, TwoWritersCountEachLineOnce) {
  constexpr std::uint64_t kLines = 300;
  const auto write = [this] {
    MetricsDb db = opened();
    while (true) {
      ASSERT_TRUE(db.begin());
      const auto from = db.cursor("s");
      ASSERT_TRUE(from);
      if (from->offset < kLines) {
        const std::vector<Sample> one{arrived("loss", static_cast<double>(from->offset), 1)};
        ASSERT_TRUE(db.add({"s", 0, "", "metrics"}, {from->offset + 1, 0, 0, ""}, one));
      }
      ASSERT_TRUE(db.commit());
      if (from->offset >= kLines) return;
    }
  };
  std::thread other(write);
  write();
  other.join();
  MetricsDb db = opened();
  const auto all = points(db);
  ASSERT_EQ(all.size(), kLines);
  for (std::uint64_t i = 0; i < kLines; ++i) {
    EXPECT_EQ(all[i].step, static_cast<std::int64_t>(i));
    EXPECT_EQ(all[i].value, static_cast<double>(i));
  }
}

TEST_F(MetricsDbTest, WorksAloneWithoutSharedMemory) {
  {
    MetricsDb db = opened(MetricsDb::Sharing::kAlone);
    add(db, {arrived("loss", 1, 1)});
    EXPECT_FALSE(std::filesystem::exists(scratch() / "metrics.db-shm"));
    EXPECT_FALSE(std::filesystem::exists(scratch() / "metrics.db-wal"));
  }
  MetricsDb db = opened(MetricsDb::Sharing::kAlone);
  EXPECT_THAT(points(db), ElementsAre(Point{0, 1, 1}));
}

TEST_F(MetricsDbTest, CountsWhatIsBeyondTheQuota) {
  MetricsDb db = opened();
  std::vector<Sample> many;
  for (int i = 0; i < MetricsDb::kMostSeries + 10; ++i) {
    many.push_back(arrived("m" + std::to_string(i), i, 1));
  }
  add(db, many);
  EXPECT_EQ(db.series()->size(), static_cast<std::size_t>(MetricsDb::kMostSeries));
  EXPECT_EQ(*db.refused_points(), 10);
  add(db, {arrived("m1", 1, 2), arrived("another", 1, 1)}, 2);
  EXPECT_EQ(*db.refused_points(), 11);
}

TEST_F(MetricsDbTest, TellsWhatIsNoDatabaseOfOurs) {
  EXPECT_FALSE(is_unusable_database(file()));  // missing, and now empty
  opened();
  EXPECT_FALSE(is_unusable_database(file()));
  write("text.db",
        "this is no database, but it is long enough to look like one of some kind….....");
  EXPECT_TRUE(is_unusable_database(scratch() / "text.db"));
  EXPECT_FALSE(MetricsDb::open(scratch() / "text.db", MetricsDb::Sharing::kShared));
  auto other = Database::open(scratch() / "other.db", {Database::Mode::kWrite});
  ASSERT_TRUE(other->run("CREATE TABLE t(x)"));
  EXPECT_TRUE(is_unusable_database(scratch() / "other.db"));
  const auto refused = MetricsDb::open(scratch() / "other.db", MetricsDb::Sharing::kShared);
  EXPECT_THAT(refused.error().message, HasSubstr("something else"));
}

TEST_F(MetricsDbTest, CopiesItselfAndSettlesIntoOneFile) {
  MetricsDb db = opened();
  add(db, {arrived("loss", 1, 1)});
  ASSERT_TRUE(db.write_copy(scratch() / "copy.db"));
  auto copy = MetricsDb::open(scratch() / "copy.db", MetricsDb::Sharing::kAlone);
  ASSERT_TRUE(copy);
  EXPECT_THAT(points(*copy), ElementsAre(Point{0, 1, 1}));
  db.settle();
  EXPECT_FALSE(std::filesystem::exists(scratch() / "metrics.db-wal"));
}

}  // namespace
}  // namespace muster::metrics
