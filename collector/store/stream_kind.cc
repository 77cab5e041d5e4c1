#include "collector/store/stream_kind.h"

namespace muster::store {
namespace {

bool is_one_of(std::string_view path, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (path == name) return true;
  }
  return false;
}

std::optional<StreamKind> kind_of_rank_file(std::string_view name) {
  if (name == "stdout.log") return StreamKind::kStdout;
  if (name == "stderr.log") return StreamKind::kStderr;
  if (name == "metrics.jsonl") return StreamKind::kMetrics;
  if (name == "driver.log") return StreamKind::kLog;
  return std::nullopt;
}

}  // namespace

std::optional<StreamKind> kind_of(std::string_view path) {
  if (is_one_of(path, {"run.json", "plan.json", "config.yaml", "report.txt"})) {
    return StreamKind::kControl;
  }
  if (path == "events.jsonl") return StreamKind::kEvents;
  if (path == "mpirun.log" || path.starts_with("launcher/")) return StreamKind::kLog;
  if (path.starts_with("outputs/") || path.starts_with("logs/")) return StreamKind::kFile;
  if (path.starts_with("node_metrics/")) {
    return path.ends_with(".index") ? StreamKind::kIndex : StreamKind::kMetrics;
  }
  if (path.starts_with("ranks/")) {
    if (path.ends_with(".index")) return StreamKind::kIndex;
    return kind_of_rank_file(path.substr(path.rfind('/') + 1));
  }
  return std::nullopt;
}

}  // namespace muster::store
