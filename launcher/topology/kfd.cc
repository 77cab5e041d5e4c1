#include "launcher/topology/kfd.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

using Properties = std::map<std::string, std::uint64_t>;

// Lines "location_id 10496".  unique_id needs all of its 64 bits.
Properties properties_of(const std::string& text) {
  Properties properties;
  for (const std::string& line : split(text, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    std::uint64_t value = 0;
    const char* end = line.data() + line.size();
    if (std::from_chars(line.data() + space + 1, end, value).ptr == end) {
      properties[line.substr(0, space)] = value;
    }
  }
  return properties;
}

// location_id is bus, device and function as PCI packs them.
std::string bus_id_of(Properties& node) {
  const std::uint64_t location = node["location_id"];
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", node["domain"], location >> 8 & 0xff,
                     location >> 3 & 0x1f, location & 7);
}

// Older kernels give all partitions of a GPU the one number of their GPU, which then names none.
void drop_shared_uuids(std::vector<KfdNode>& nodes) {
  std::map<std::string, int> times;
  for (const KfdNode& node : nodes) ++times[node.uuid];
  for (KfdNode& node : nodes) {
    if (times[node.uuid] > 1) node.uuid.clear();
  }
}

}  // namespace

std::vector<KfdNode> kfd_nodes(const std::string& root) {
  constexpr std::size_t kLargestFile = 65'536;
  std::vector<KfdNode> nodes;
  std::error_code error;
  const fs::path directory = fs::path(root) / "sys/class/kfd/kfd/topology/nodes";
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const auto number = parse_integer(at->path().filename().string());
    const auto text = read_file(at->path() / "properties", kLargestFile);
    if (!number || *number < 0 || *number > 65'535 || !text) continue;
    Properties node = properties_of(*text);
    if (node["simd_count"] == 0) continue;  // the CPUs of a NUMA node
    const std::uint64_t id = node["unique_id"];
    nodes.push_back({static_cast<int>(*number), bus_id_of(node),
                     id == 0 ? "" : fmt::format("GPU-{:016x}", id)});
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const KfdNode& a, const KfdNode& b) { return a.number < b.number; });
  drop_shared_uuids(nodes);
  return nodes;
}

}  // namespace muster::topology
