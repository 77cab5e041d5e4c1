#include "launcher/report/metric_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

#include <gmock/gmock.h>

#include "launcher/report/metrics_text.h"

namespace muster::report {
namespace {

using metrics::Band;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricPlot, DrawsALineFromCornerToCorner) {
  std::vector<Band> bands;
  for (int i = 0; i <= 10; ++i) {
    const double value = i;
    bands.push_back({i, 0, value, value, value});
  }
  EXPECT_EQ(metric_plot("up", bands, {.columns = 14, .rows = 3}),
            "up\n"
            "10 ┤      ⣀⠴⠊\n"
            " 5 ┤   ⢀⠔⠋\n"
            " 0 ┤⣀⠴⠊⠁\n"
            "    step 0 10\n");
}

TEST(MetricPlot, DrawsTheSpreadOfRanksBehindTheirMean) {
  const std::vector<Band> bands{{0, 0, 0, 5, 10}, {1, 0, 0, 5, 10}};
  const std::string plain = metric_plot("x", bands, {.columns = 12, .rows = 3});
  EXPECT_THAT(plain, Not(HasSubstr("\033")));
  EXPECT_THAT(metric_plot("x", bands, {.columns = 12, .rows = 3, .color = true}),
              HasSubstr("\033[36m"));
}

TEST(MetricPlot, CopesWithValuesThatAreNoNumbers) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double most = std::numeric_limits<double>::max();
  EXPECT_EQ(metric_plot("x", {}, {}), "x: no values\n");
  for (const double value : {std::nan(""), infinity, -infinity, 0.0, most, -most}) {
    const std::vector<Band> bands{
        {0, 0, value, value, value}, {5, 0, 1, 1, 1}, {9, 0, -most, 0, most}};
    EXPECT_THAT(metric_plot("x", bands, {}), HasSubstr("step 0"));
    EXPECT_THAT(metric_plot("x", {bands[0]}, {}),
                HasSubstr(std::isfinite(value) ? "step 0" : "x: 1 of 1 are nan or inf\n"));
  }
  const std::vector<Band> some{{0, 0, infinity, infinity, infinity}, {5, 0, 1, 1, 1}};
  EXPECT_THAT(metric_plot("x", some, {}), HasSubstr("x: 1 of 2 are nan or inf\n"));
}

TEST(MetricPlot, FitsANarrowTerminal) {
  const double most = std::numeric_limits<double>::max();
  const std::vector<Band> bands{{1'700'000'000'000, 0, -most / 3, -most / 3, -most / 3},
                                {1'700'000'000'019, 0, most / 3, most / 3, most / 3},
                                {1'700'000'000'020, 0, std::nan(""), std::nan(""), std::nan("")}};
  const std::string plot = metric_plot(std::string(200, 'x') + "\x1b[31m", bands, {.columns = 40});
  std::istringstream lines(plot);
  for (std::string line; std::getline(lines, line);) {
    const auto columns =
        std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    EXPECT_LE(columns, 40) << line;
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
  }
  EXPECT_THAT(plot, HasSubstr("…: 1 of 3 are nan or inf\n"));
  EXPECT_THAT(plot, HasSubstr("step 1700000000000 +20\n"));
}

TEST(MetricsText, IsSafeForATerminal) {
  const metrics::Sample sample{"a\x1b[31m", 1, 2, 3, "k=\x9b"};
  EXPECT_EQ(sample_line({"s", 3, "", "metrics"}, sample).find('\x1b'), std::string::npos);
  metrics::MetricSummary metric;
  metric.name = "a\x1b[31m";
  metric.source = "logs/\x1b]0;x";
  metric.ranks.push_back({0, "", {1}, 1, {}, 0, 0});
  EXPECT_EQ(metrics_table({metric}).find('\x1b'), std::string::npos);
  EXPECT_EQ(last_values_table({metric}).find('\x1b'), std::string::npos);
}

TEST(MetricsText, SaysWhatIsSpreadOverRanks) {
  metrics::MetricSummary metric;
  metric.name = "loss";
  metric.source = "metrics";
  metric.count = 20;
  metric.last_step = 10;
  metric.least = 0.25;
  metric.mean = 0.5;
  metric.most = 0.75;
  metric.ranks.push_back({0, "", {1}, 10, {}, 0, 0});
  metric.ranks.push_back({1, "", {2}, 10, {}, 0, 0});
  EXPECT_EQ(metrics_table({metric}),
            "metric  of       values  last step  last   min   max\n"
            "loss    2 ranks      20         10   0.5  0.25  0.75\n");
  metrics::MetricSummary node;
  node.name = "cpu.percent";
  node.source = "node";
  node.ranks.push_back({-1, "node-a", {1}, 1, {}, 0, 0});
  std::vector<metrics::MetricSummary> all{node, metric};
  nodes_last(all);
  EXPECT_EQ(metrics_table(all),
            "metric  of       values  last step  last   min   max\n"
            "loss    2 ranks      20         10   0.5  0.25  0.75\n"
            "\nof the nodes\n"
            "metric       of      values  last step  last  from\n"
            "cpu.percent  node-a       0          0     0  node\n");
  EXPECT_EQ(metrics_table({node}).find("of the nodes"), std::string::npos) << "there is no other";
}

}  // namespace
}  // namespace muster::report
