// What a run's metrics add up to: by metric, across its ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "collector/metrics/metrics_db.h"
#include "muster/result.h"

namespace muster::metrics {

struct Selection {
  std::vector<std::string> names;     // globs; empty: all
  std::vector<int> ranks;             // empty: all, and what is of no rank
  std::optional<std::int64_t> since;  // ns since 1970

  bool has(const Series& series) const;
};

// Of one rank, or of what has no rank.
struct RankSummary {
  int rank = -1;
  std::string node;
  std::vector<std::int64_t> series;  // of several attempts or files
  std::uint64_t count = 0;
  Point last;
  double least = 0;  // NaN when none is a number
  double most = 0;
};

struct MetricSummary {
  std::string name;
  std::string labels;
  std::string source;
  std::vector<RankSummary> ranks;  // each has a point
  std::uint64_t count = 0;
  std::int64_t last_step = 0;
  // Of the ranks' last values; NaN where none is a number.
  double least = 0;
  double mean = 0;
  double most = 0;
};

// Metrics with a point at least, by name, labels and source.
Result<std::vector<MetricSummary>> summarize(MetricsDb& db, const Selection& selection);

// What all ranks say at a step, or at some steps that follow each other.
struct Band {
  std::int64_t step = 0;  // the first of them
  std::int64_t time = 0;
  double least = 0;
  double mean = 0;
  double most = 0;

  bool operator==(const Band&) const = default;
};

constexpr std::size_t kMostBands = 2000;

// In the order of steps.  Of a long series, neighbouring steps become one; their least and their
// greatest value are kept, so that no spike is lost.
Result<std::vector<Band>> bands(MetricsDb& db, const MetricSummary& metric,
                                const Selection& selection, std::size_t most = kMostBands);

}  // namespace muster::metrics
