// metrics.patterns: which numbers in what ranks print are metrics.
#pragma once

#include "launcher/config/keys.h"

namespace muster::config {

void read_metric_patterns(const Value& value, Draft& draft);
void show_metric_patterns(const Key& key, const RunConfig& config, std::vector<Row>& rows);

}  // namespace muster::config
