// One look at a node, as lines of node_metrics/<node>.jsonl:
//
//   {"time":1764828900.123,"node":"node-a","values":{"cpu.percent":12.5,"load.1m":3.2}}
//   {"time":…,"node":"node-a","gpu":0,"values":{"gpu.percent":98}}
//
// Also "rank" or "interface" in place of "gpu".  Pure.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace muster::exec {

struct NodeValue {
  std::string name;  // "cpu.percent"
  double value = 0;
  // Mostly the same from look to look (a limit, a count of errors): written when it has changed,
  // and every so often.
  bool lasting = false;
};

struct NodeGroup {
  std::string label;    // "gpu", "rank", "interface"; "": the node itself
  std::string of;       // "0", "eth0"
  bool number = false;  // `of` is written as a number
  std::vector<NodeValue> values;
};

struct NodeSample {
  std::chrono::system_clock::time_point time;
  std::vector<NodeGroup> groups;
};

class NodeSampleWriter {
 public:
  explicit NodeSampleWriter(std::string node) : node_(std::move(node)) {}

  // The lines of one look; "" when nothing is to be said.
  std::string lines(const NodeSample& sample);

 private:
  std::string node_;
  std::map<std::string, std::pair<double, int>> lasting_;  // last value written, looks since then
};

// How long to wait for the next look after one that wrote so many bytes: a node that has much to
// say is looked at less often, so that at 10 s no node writes more than 20 MB a day.
std::chrono::milliseconds pause_after(std::size_t bytes, std::chrono::milliseconds interval);

}  // namespace muster::exec
