// The ends of streams whose writers keep no count of them: logs, events, metrics of nodes.
#pragma once

#include <string>
#include <vector>

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

// Those of a run that are no rank's: events.jsonl, mpirun.log, launcher/*, node_metrics/*.
std::vector<std::string> common_streams(const RunDirectory& run);

// Every append-only stream that has a file, time indexes too.
std::vector<std::string> append_only_files(const RunDirectory& run);

// Nobody writes them any more: each ends where its file does.  Those that are not there, or cannot
// be read, get no end.
Result<> end_streams(const RunDirectory& run, const std::vector<std::string>& paths);

}  // namespace muster::store
