// resources.rank_map: what each local rank gets, word for word.
#pragma once

#include "launcher/config/keys.h"

namespace muster::config {

void read_rank_map(const Value& value, Draft& draft);
void show_rank_map(const Key& key, const RunConfig& config, std::vector<Row>& rows);

}  // namespace muster::config
