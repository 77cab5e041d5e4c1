#include "collector/metrics/metric_line.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>

namespace muster::metrics {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<Sample> read(std::string_view line) {
  std::vector<Sample> samples;
  const auto problem = read_metric_line(line, samples);
  EXPECT_FALSE(problem) << line << ": " << *problem;
  return samples;
}

std::string problem_of(std::string_view line) {
  std::vector<Sample> samples;
  const auto problem = read_metric_line(line, samples);
  EXPECT_THAT(samples, IsEmpty()) << line;
  return std::string(problem.value_or("none"));
}

Sample sample(std::string name, double value, std::optional<std::int64_t> step = std::nullopt,
              std::optional<std::int64_t> time = std::nullopt, std::string labels = "") {
  return {std::move(name), value, step, time, std::move(labels)};
}

TEST(MetricLine, ReadsWords) {
  EXPECT_THAT(read("loss 0.25"), ElementsAre(sample("loss", 0.25)));
  EXPECT_THAT(read("  train/loss\t-1e-3 7 \r"), ElementsAre(sample("train/loss", -1e-3, 7)));
  EXPECT_THAT(read("loss +.5 100 1700000000000000000 split=train a=b"),
              ElementsAre(sample("loss", 0.5, 100, 1'700'000'000'000'000'000, "a=b,split=train")));
  EXPECT_THAT(read("loss 1 rank=3"), ElementsAre(sample("loss", 1, {}, {}, "rank=3")));
  EXPECT_THAT(read(""), IsEmpty());
  EXPECT_THAT(read(" \t\r"), IsEmpty());
}

TEST(MetricLine, ReadsNumbersThatAreNone) {
  EXPECT_TRUE(std::isnan(read("loss nan 3")[0].value));
  EXPECT_EQ(read("loss -Inf")[0].value, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(read("loss 1e999")[0].value, std::numeric_limits<double>::infinity());
  EXPECT_EQ(read("loss 1e-999")[0].value, 0);
  EXPECT_TRUE(std::isnan(read(R"({"loss": NaN, "text": "NaN \"NaN"})")[0].value));
  EXPECT_EQ(read(R"({"loss": -Infinity})")[0].value, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(read(R"({"name": "x", "value": "Infinity"})")[0].value,
            std::numeric_limits<double>::infinity());
}

TEST(MetricLine, ReadsObjects) {
  EXPECT_THAT(
      read(R"({"step": 100, "loss": 0.5, "train": {"accuracy": 1, "note": "x"}, "rank": 3})"),
      ElementsAre(sample("loss", 0.5, 100), sample("train/accuracy", 1, 100)));
  EXPECT_THAT(read(R"({"loss": 2, "labels": {"b": 1, "a": "x"}, "time": 1700000000.5})"),
              ElementsAre(sample("loss", 2, {}, 1'700'000'000'500'000'000, "a=x,b=1")));
  EXPECT_THAT(read(R"({"done": true, "who": "me", "list": [1, 2], "none": null})"),
              ElementsAre(sample("done", 1)));
  EXPECT_THAT(read("{}"), IsEmpty());
}

TEST(MetricLine, ReadsValuesWithLabelsBesideThem) {
  EXPECT_THAT(
      read(R"({"time": 1700000000, "node": "a", "gpu": 0, "values": {"gpu.percent": 98.5}})"),
      ElementsAre(sample("gpu.percent", 98.5, {}, 1'700'000'000'000'000'000, "gpu=0")));
  EXPECT_THAT(read(R"({"rank": 3, "values": {"rank.rss_bytes": 5, "x": 1}, "labels": {"a": "b"}})"),
              ElementsAre(sample("rank.rss_bytes", 5, {}, {}, "a=b,rank=3"),
                          sample("x", 1, {}, {}, "a=b,rank=3")));
}

TEST(MetricLine, TakesTimesInSecondsMillisecondsAndNanoseconds) {
  for (const char* time :
       {"1700000000", "1700000000000", "1700000000000000000", "\"2023-11-14T22:13:20Z\""}) {
    EXPECT_EQ(read(R"({"loss": 1, "time": )" + std::string(time) + "}")[0].time,
              1'700'000'000'000'000'000)
        << time;
  }
}

TEST(MetricLine, ReadsWhatMusterAzuremlWrites) {
  EXPECT_THAT(
      read(R"({"time": "2023-11-14T22:13:20Z", "name": "loss", "type": "scalar", "value": 0.5})"),
      ElementsAre(sample("loss", 0.5, {}, 1'700'000'000'000'000'000)));
  EXPECT_THAT(read(R"({"name": "a", "type": "list", "value": [1, "x", "NaN", 3]})").size(), 3U);
  EXPECT_THAT(read(R"({"name": "t", "type": "row", "value": {"x": 1, "y": "no"}})"),
              ElementsAre(sample("t/x", 1)));
  EXPECT_THAT(read(R"({"name": "t", "type": "table", "value": {"x": [1, 2]}})"),
              ElementsAre(sample("t/x", 1), sample("t/x", 2)));
  EXPECT_THAT(read(R"({"name": "who", "type": "tag", "value": "3"})"), IsEmpty());
  EXPECT_THAT(read(R"({"name": "p", "type": "image", "value": "outputs/p.png"})"), IsEmpty());
}

TEST(MetricLine, SaysWhatItCannotUnderstand) {
  EXPECT_THAT(problem_of("loss"), HasSubstr("a value is missing"));
  EXPECT_THAT(problem_of("loss=0.5"), HasSubstr("a value is missing"));
  EXPECT_THAT(problem_of("the loss is 5"), HasSubstr("no number"));
  EXPECT_THAT(problem_of("loss 0.5x"), HasSubstr("no number"));
  EXPECT_THAT(problem_of("loss ++5"), HasSubstr("no number"));
  EXPECT_THAT(problem_of("loss 1 2.5"), HasSubstr("no step"));
  EXPECT_THAT(problem_of("loss 1 2 3 4"), HasSubstr("no step"));
  EXPECT_THAT(problem_of("loss 1 =x"), HasSubstr("label"));
  EXPECT_THAT(problem_of(std::string(300, 'x') + " 1"), HasSubstr("255 bytes"));
  EXPECT_THAT(problem_of("\x1b[31mloss 1"), HasSubstr("control characters"));
  EXPECT_THAT(problem_of("{\"loss\": 1"), HasSubstr("JSON"));
  EXPECT_THAT(problem_of(std::string((1 << 20) + 1, 'x')), HasSubstr("1 MiB"));
}

// Nothing of an object goes without a word, and what is sound of it is taken.
TEST(MetricLine, SaysWhatItLeavesOut) {
  EXPECT_THAT(problem_of(R"({"name": "we\"ird\n[m", "value": 1})"),
              HasSubstr("control characters"));
  EXPECT_THAT(problem_of(R"({"a\tb": 1})"), HasSubstr("control characters"));
  EXPECT_THAT(problem_of(R"({"": 1})"), HasSubstr("empty"));
  EXPECT_THAT(problem_of(R"({"loss": 1, "labels": {"a": "\u001b[31m"}})"), HasSubstr("label"));
  EXPECT_THAT(problem_of(R"({"loss": 1, "labels": {"a,b": 1}})"), HasSubstr("label"));
  EXPECT_THAT(problem_of(R"({"loss": 1, "labels": {"a": [1]}})"), HasSubstr("label"));
  EXPECT_THAT(problem_of(R"({"loss": 1, "labels": "a"})"), HasSubstr("label"));
  EXPECT_THAT(problem_of(R"({"loss": "0.5"})"), HasSubstr("no number"));
  EXPECT_THAT(problem_of(R"({"lst": [1, 2]})"), HasSubstr("no number"));
  EXPECT_THAT(problem_of(R"({"step": 1})"), HasSubstr("no number"));
  EXPECT_THAT(problem_of("loss 1 a=b,c=d"), HasSubstr("comma"));
  std::vector<Sample> samples;
  EXPECT_TRUE(read_metric_line(R"({"loss": 1, "a\tb": 2})", samples));
  EXPECT_THAT(samples, ElementsAre(sample("loss", 1)));
  EXPECT_THAT(read(R"({"time": 1, "gpu": 0, "values": {}})"), IsEmpty());
}

TEST(MetricLine, ALabelsTextMayBeEmptyAndHaveAnEqualsSign) {
  EXPECT_THAT(read("loss 1 bar= foo=a=b"), ElementsAre(sample("loss", 1, {}, {}, "bar=,foo=a=b")));
  EXPECT_THAT(read(R"({"loss": 1, "labels": {"bar": "", "foo": "a=b"}})"),
              ElementsAre(sample("loss", 1, {}, {}, "bar=,foo=a=b")));
}

TEST(MetricLine, BoundsWhatOneLineMaySay) {
  std::string list = R"({"name": "x", "value": [0)";
  for (int i = 0; i < 20'000; ++i) list += ",1";
  std::vector<Sample> samples;
  EXPECT_THAT(std::string(read_metric_line(list + "]}", samples).value_or("")), HasSubstr("10000"));
  EXPECT_EQ(samples.size(), 10'000U);
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "{\"a\":";
  EXPECT_THAT(problem_of(deep + "1" + std::string(10'000, '}')), HasSubstr("8 deep"));
}

}  // namespace
}  // namespace muster::metrics
