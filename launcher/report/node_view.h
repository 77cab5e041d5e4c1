// How the nodes of a run fare, as node_metrics/<node>.jsonl has it, for `muster status`.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/run_directory.h"
#include "launcher/plan/run_outcome.h"

namespace muster::report {

using NodeValues = std::map<std::string, double, std::less<>>;

// The newest value of each name.
struct NodeView {
  std::string node;
  plan::WallTime time;  // of the newest line
  NodeValues values;
  std::map<int, NodeValues> gpus;
  std::map<std::string, NodeValues> interfaces;
};

// By the ends of the files; sorted by name.  Lines that are none are passed over.
std::vector<NodeView> read_node_views(const store::RunDirectory& run);
// Adds what the lines of `text` say.  Pure.
void take_node_lines(std::string_view text, std::map<std::string, NodeView>& nodes);

// A line for each node and each of its GPUs; those that suffer begin with "! ".
//
//   "  node       node-a: CPU 87% (I/O wait 3%), load 63.1; memory 52.0 GiB of 64.0 GiB"
//   "  gpu 0      98%, 37.3 GiB of 40.0 GiB, 312 of 400 W, 61 °C"
// Ages are told of those that are old; `is_over`: of all, as nothing newer will come.
std::vector<std::string> node_lines(const std::vector<NodeView>& nodes, plan::WallTime now,
                                    bool is_over = false);

}  // namespace muster::report
