// Which files of a run directory say something about metrics.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "collector/metrics/metrics_db.h"

namespace muster::metrics {

struct Source {
  enum class Kind {
    kLines,   // metrics.jsonl of a rank or of a node
    kText,    // stdout or stderr of a rank, for patterns
    kEvents,  // an event file of TensorBoard
  };

  Kind kind = Kind::kLines;
  std::filesystem::path file;
  Origin origin;
};

// In the order of their names; those of kText with origin.stream but for the patterns' key. `text`:
// whether there are patterns.
std::vector<Source> find_sources(const std::filesystem::path& run, bool text);

// "events.out.tfevents.1700000000.node-a.4711.0"
bool is_event_file(std::string_view name);

}  // namespace muster::metrics
