// Lines of `muster logs --json`: an object for each line of a stream, and for each gap.  Pure.
//
//   {"time":"2026-11-23T06:15:00.123456Z","rank":3,"stream":"stdout","offset":120,"text":"loss
//   0.5"}
//
// Bytes that are not UTF-8 are U+FFFD in "text", and then "base64" has the line exactly. "newline":
// false: a piece of a longer line, or what the stream ends with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "collector/store/stream_ledger.h"
#include "launcher/plan/run_outcome.h"
#include "launcher/report/line_cutter.h"

namespace muster::report {

struct LogLabels {
  std::optional<int> rank;
  std::string node;    // of a launcher's log; else ""
  std::string stream;  // "stdout"
};

std::string json_line(const LogLabels& labels, std::optional<plan::WallTime> time,
                      const CutLine& line);
std::string json_line(const LogLabels& labels, std::optional<plan::WallTime> time,
                      const store::Gap& gap);

}  // namespace muster::report
