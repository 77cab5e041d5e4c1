#include "collector/metrics/query.h"

#include <algorithm>
#include <cmath>
#include <fnmatch.h>
#include <limits>

namespace muster::metrics {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Least, mean and greatest of what is a number.
class Spread {
 public:
  void add(double value) {
    if (std::isnan(value)) return;
    least_ = count_ == 0 ? value : std::min(least_, value);
    most_ = count_ == 0 ? value : std::max(most_, value);
    sum_ += value;
    ++count_;
  }

  double least() const { return count_ == 0 ? kNan : least_; }
  double most() const { return count_ == 0 ? kNan : most_; }
  double mean() const { return count_ == 0 ? kNan : sum_ / static_cast<double>(count_); }

 private:
  double least_ = 0;
  double most_ = 0;
  double sum_ = 0;
  std::uint64_t count_ = 0;
};

bool is_wanted(const Selection& selection, const Point& point) {
  return !selection.since || point.time >= *selection.since;
}

bool is_later(const Point& a, const Point& b) {
  return a.step != b.step ? a.step > b.step : a.time > b.time;
}

Result<> add_points(MetricsDb& db, const Selection& selection, RankSummary& rank) {
  Spread spread;
  for (const std::int64_t series : rank.series) {
    MUSTER_TRY(db.points(series, [&](const Point& point) {
      if (!is_wanted(selection, point)) return;
      spread.add(point.value);
      if (rank.count++ == 0 || !is_later(rank.last, point)) rank.last = point;
    }));
  }
  rank.least = spread.least();
  rank.most = spread.most();
  return {};
}

MetricSummary& metric_of(std::vector<MetricSummary>& all, const Series& series) {
  if (all.empty() || all.back().name != series.name || all.back().labels != series.labels ||
      all.back().source != series.source) {
    all.push_back({series.name, series.labels, series.source, {}});
  }
  return all.back();
}

}  // namespace

bool Selection::has(const Series& series) const {
  if (!ranks.empty() && !std::binary_search(ranks.begin(), ranks.end(), series.rank)) return false;
  return names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& glob) {
           return ::fnmatch(glob.c_str(), series.name.c_str(), 0) == 0;
         });
}

Result<std::vector<MetricSummary>> summarize(MetricsDb& db, const Selection& selection) {
  MUSTER_TRY_ASSIGN(const std::vector<Series> all, db.series());
  std::vector<MetricSummary> metrics;
  for (const Series& series : all) {
    if (!selection.has(series)) continue;
    MetricSummary& metric = metric_of(metrics, series);
    if (metric.ranks.empty() || metric.ranks.back().rank != series.rank ||
        metric.ranks.back().node != series.node) {
      metric.ranks.push_back({series.rank, series.node, {}});
    }
    metric.ranks.back().series.push_back(series.id);
  }
  for (MetricSummary& metric : metrics) {
    for (RankSummary& rank : metric.ranks) MUSTER_TRY(add_points(db, selection, rank));
    std::erase_if(metric.ranks, [](const RankSummary& rank) { return rank.count == 0; });
    Spread spread;
    for (const RankSummary& rank : metric.ranks) {
      spread.add(rank.last.value);
      metric.last_step =
          metric.count == 0 ? rank.last.step : std::max(metric.last_step, rank.last.step);
      metric.count += rank.count;
    }
    metric.least = spread.least();
    metric.mean = spread.mean();
    metric.most = spread.most();
  }
  std::erase_if(metrics, [](const MetricSummary& metric) { return metric.ranks.empty(); });
  return metrics;
}

Result<std::vector<Band>> bands(MetricsDb& db, const MetricSummary& metric,
                                const Selection& selection, std::size_t most) {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  const auto each_point = [&](const std::function<void(const Point&)>& use) -> Result<> {
    for (const RankSummary& rank : metric.ranks) {
      for (const std::int64_t series : rank.series) {
        MUSTER_TRY(db.points(series, [&](const Point& point) {
          if (is_wanted(selection, point)) use(point);
        }));
      }
    }
    return {};
  };
  MUSTER_TRY(each_point([&](const Point& point) { first = std::min(first, point.step); }));
  if (first > metric.last_step || most == 0) return std::vector<Band>();
  // Without overflow also for steps from one end of their range to the other.
  const auto range =
      static_cast<std::uint64_t>(metric.last_step) - static_cast<std::uint64_t>(first);
  const std::uint64_t width = range / most + 1;
  struct Bucket {
    Spread spread;
    std::int64_t step = 0;
    std::int64_t time = 0;
    bool used = false;
  };
  std::vector<Bucket> buckets(static_cast<std::size_t>(range / width + 1));
  MUSTER_TRY(each_point([&](const Point& point) {
    const auto at =
        (static_cast<std::uint64_t>(point.step) - static_cast<std::uint64_t>(first)) / width;
    if (at >= buckets.size()) return;  // written since
    Bucket& bucket = buckets[at];
    if (!bucket.used || point.step < bucket.step) {
      bucket.step = point.step;
      bucket.time = point.time;
    }
    bucket.used = true;
    bucket.spread.add(point.value);
  }));
  std::vector<Band> result;
  for (const Bucket& bucket : buckets) {
    if (!bucket.used) continue;
    result.push_back({bucket.step, bucket.time, bucket.spread.least(), bucket.spread.mean(),
                      bucket.spread.most()});
  }
  return result;
}

}  // namespace muster::metrics
