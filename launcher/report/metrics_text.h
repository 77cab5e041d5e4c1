// `muster metrics`: a run's metrics as a table, as JSON, and as lines while they come.
#pragma once

#include <string>
#include <vector>

#include "collector/metrics/query.h"
#include "collector/metrics/sample.h"

namespace muster::report {

// One line for each metric: across its ranks, the spread of their last values.
// Those of nodes behind all others.
void nodes_last(std::vector<metrics::MetricSummary>& all);
// Once in that order: those of nodes have a table of their own.
std::string metrics_table(const std::vector<metrics::MetricSummary>& all);
// One line for each metric and rank: its last value.
std::string last_values_table(const std::vector<metrics::MetricSummary>& all);

struct MetricsDocument {
  std::string run_id;
  const std::vector<metrics::MetricSummary>& metrics;
  std::vector<std::vector<metrics::Band>> bands;  // of each metric; empty: not asked for
  std::vector<metrics::BadLines> bad_lines;
  std::int64_t refused_points = 0;
};
std::string metrics_json(const MetricsDocument& document);

// "[3] loss 100 0.25 split=train"; without control characters.
std::string sample_line(const metrics::Origin& origin, const metrics::Sample& sample);

// "0.25", "1.5e-05", "nan": six digits.
std::string short_number(double value);
// "loss", "loss{split=train}"
std::string shown_name(const metrics::MetricSummary& metric);

}  // namespace muster::report
