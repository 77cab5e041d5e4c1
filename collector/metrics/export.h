// Every point of a run, for other programs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "collector/metrics/metrics_db.h"
#include "collector/metrics/query.h"
#include "muster/result.h"

namespace muster::metrics {

enum class ExportFormat { kJsonl, kCsv };

// {"name":"loss","rank":0,"source":"metrics","step":1,"time":"2026-…Z","value":0.5}; what a series
// does not have is left out, and what is no number is a text, "NaN".
std::string jsonl_line(const Series& series, const Point& point);
std::string csv_head();
std::string csv_line(const Series& series, const Point& point);

using Sink = std::function<bool(std::string_view)>;  // false: no more is wanted
Result<> export_text(MetricsDb& db, const Selection& selection, ExportFormat format,
                     const Sink& sink);

struct TensorboardExport {
  std::size_t folders = 0;
  std::uint64_t points = 0;  // that were not there yet
};

// An event file in a folder for each rank, each node and each folder that event files came from.
// Files are only ever appended to: what stands in them already is not written again.  `generated`:
// only what did not come from event files.  Errors: kRunDirectory.
Result<TensorboardExport> export_tensorboard(MetricsDb& db, const Selection& selection,
                                             const std::filesystem::path& directory,
                                             bool generated);

}  // namespace muster::metrics
