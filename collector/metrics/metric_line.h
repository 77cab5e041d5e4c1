// A line of metrics as ranks write it to the FIFO in MUSTER_METRICS:
//
//   loss 0.25 100                       a name, a value; a step, a time in ns, labels if wanted
//   loss 0.25 100 1700000000000000000 split=train
//   {"step": 100, "loss": 0.25, "train": {"accuracy": 0.9}}
//   {"name": "loss", "type": "scalar", "value": 0.25, "time": "2026-11-23T06:15:00Z"}
//   {"time": 1764828900.1, "gpu": 0, "values": {"gpu.percent": 98.5}}
//
// In an object every number is a value under its key; keys of objects in it are joined with "/".
// The fourth form is muster_azureml's (docs/python.md), which also has lists, rows and tables.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "collector/metrics/sample.h"

namespace muster::metrics {

constexpr std::size_t kLongestMetricLine = 1 << 20;

// Appends what the line says; without its newline.  Returns why it says nothing that can be
// understood, or why some of it is left out; nullopt also for a blank line, and for what
// muster_azureml says of texts and pictures.
std::optional<std::string_view> read_metric_line(std::string_view line,
                                                 std::vector<Sample>& samples);

// "0.25", "1e-3", "nan", "-inf", "Infinity": all of the text.
std::optional<double> parse_number(std::string_view text);

}  // namespace muster::metrics
