#include "launcher/topology/nccl_topology.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "base/text.h"
#include "launcher/topology/pci_device.h"

namespace muster::topology {
namespace {

constexpr std::size_t kMostBytes = std::size_t{4} << 20U;  // the largest known has 20 KiB
constexpr int kMostElements = 20'000;
constexpr int kMostDepth = 32;
constexpr std::size_t kMostWords = 1024;  // of a CPU mask: 32,768 CPUs
constexpr int kMostNumaNodes = 1 << 16;
constexpr std::size_t kLongestName = 64;

constexpr int kWordBits = 32;
constexpr int kBridge = 0x0604;

std::optional<int> parse_number(std::string_view text, int base) {
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "0000ffff,ff000000": words of 32 bits, the most significant first.
std::optional<CpuSet> parse_mask(std::string_view text) {
  CpuSet cpus;
  if (text.empty()) return cpus;
  const std::vector<std::string> words = split(text, ',');
  if (words.size() > kMostWords) return std::nullopt;
  int first = kWordBits * static_cast<int>(words.size());
  for (const std::string& word : words) {
    first -= kWordBits;
    std::uint32_t bits = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bits, 16);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    for (int bit = 0; bit < kWordBits; ++bit) {
      if ((bits >> bit & 1U) != 0) cpus.insert(first + bit);
    }
  }
  return cpus;
}

bool is_display(int device_class) {
  return device_class == 0x0300 || device_class == 0x0302 || device_class == 0x0380 ||
         device_class == 0x1200;
}

class Reader {
 public:
  Reader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Result<NcclTopology> read() {
    if (text_.size() > kMostBytes) return refuse(0, "it is larger than 4 MiB");
    pugi::xml_document document;
    const pugi::xml_parse_result parsed = document.load_buffer(
        text_.data(), text_.size(), pugi::parse_minimal | pugi::parse_escapes, pugi::encoding_utf8);
    if (!parsed) {
      return refuse(parsed.offset, std::string("it is no XML: ") + small(parsed.description()));
    }
    const pugi::xml_node system = document.document_element();
    if (std::string_view(system.name()) != "system") {
      return refuse(system.offset_debug(), "its root element is not \"system\"");
    }
    for (const pugi::xml_node& node : system.children("cpu")) MUSTER_TRY(read_cpu(node));
    if (topology_.cpus.empty()) return refuse(0, "it has no \"cpu\" element");
    return std::move(topology_);
  }

 private:
  Failure refuse(std::ptrdiff_t offset, const std::string& why) const {
    Error error{ErrorCode::kResources, "this is no NCCL topology file: " + why,
                "NCCL writes the one that it sees to the file that NCCL_TOPO_DUMP_FILE names"};
    error.location = Location{file_, line_of(offset)};
    return Failure(std::move(error));
  }

  int line_of(std::ptrdiff_t offset) const {
    if (offset < 0 || static_cast<std::size_t>(offset) > text_.size()) return 0;
    return 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + offset, '\n'));
  }

  static std::string small(std::string text) {
    if (!text.empty() && text.front() >= 'A' && text.front() <= 'Z') text.front() |= 0x20;
    return text;
  }

  static std::string shown(std::string_view text) {
    return "\"" + without_controls(text.substr(0, kLongestName)) + "\"";
  }

  Result<> count(const pugi::xml_node& node) {
    if (++elements_ <= kMostElements) return {};
    return refuse(node.offset_debug(), fmt::format("it has more than {} elements", kMostElements));
  }

  Result<> read_cpu(const pugi::xml_node& node) {
    MUSTER_TRY(count(node));
    const auto numa = parse_number(node.attribute("numaid").value(), 10);
    if (!numa || *numa < kUnknown || *numa >= kMostNumaNodes) {
      return refuse(node.offset_debug(), "numaid is " + shown(node.attribute("numaid").value()) +
                                             ", and must be the number of a NUMA node");
    }
    const std::string_view mask = node.attribute("affinity").value();
    const auto cpus = parse_mask(mask);
    if (!cpus) {
      return refuse(node.offset_debug(), "affinity is " + shown(mask) +
                                             ", and must be words of up to 8 hexadecimal digits");
    }
    topology_.cpus.push_back({*numa, *cpus, std::string(mask)});
    std::vector<std::string> upstream;
    return read_children(node, *numa, upstream);
  }

  Result<> read_children(const pugi::xml_node& parent, int numa,
                         std::vector<std::string>& upstream) {
    if (upstream.size() >= kMostDepth) {
      return refuse(parent.offset_debug(),
                    fmt::format("its elements lie more than {} deep", kMostDepth));
    }
    for (const pugi::xml_node& node : parent.children("pci")) {
      MUSTER_TRY(read_pci(node, numa, upstream));
    }
    return {};
  }

  Result<> read_pci(const pugi::xml_node& node, int numa, std::vector<std::string>& upstream) {
    MUSTER_TRY(count(node));
    const std::string bus_id = canonical_bus_id(node.attribute("busid").value());
    if (bus_id.empty()) {
      return refuse(node.offset_debug(), "busid is " + shown(node.attribute("busid").value()) +
                                             ", and must be like \"0001:00:00.0\"");
    }
    const int device_class =
        parse_number(node.attribute("class").value(), 16).value_or(0) >> 8;  // of three bytes
    if (device_class != kBridge && !node.child("pci")) {
      NcclDevice device{bus_id, numa, is_display(device_class) || node.child("gpu"), upstream, {}};
      MUSTER_TRY(read_nets(node, device));
      topology_.devices.push_back(std::move(device));
    }
    upstream.push_back(bus_id);
    MUSTER_TRY(read_children(node, numa, upstream));
    upstream.pop_back();
    return {};
  }

  Result<> read_nets(const pugi::xml_node& node, NcclDevice& device) {
    for (const pugi::xml_node& nic : node.children("nic")) {
      MUSTER_TRY(count(nic));
      for (const pugi::xml_node& net : nic.children("net")) {
        MUSTER_TRY(count(net));
        const std::string_view name = net.attribute("name").value();
        if (!name.empty() && name.size() <= kLongestName) {
          device.nets.push_back(without_controls(name));
        }
      }
    }
    return {};
  }

  std::string_view text_;
  const std::string& file_;
  NcclTopology topology_;
  int elements_ = 0;
};

const NumaNode* find_node(const NodeInventory& inventory, int os_index) {
  for (const NumaNode& node : inventory.numa_nodes) {
    if (node.os_index == os_index) return &node;
  }
  return nullptr;
}

std::string cpus_or_none(const CpuSet& cpus) {
  return cpus.empty() ? "no CPU" : "CPUs " + cpus.to_string();
}

std::string why_masks_do_not_hold(const NcclTopology& topology, const NodeInventory& inventory) {
  std::set<int> seen;
  for (std::size_t at = 0; at < topology.cpus.size(); ++at) {
    const NcclCpu& cpu = topology.cpus[at];
    if (cpu.numa_node == kUnknown) return "it does not tell the NUMA nodes apart (numaid is -1)";
    if (!seen.insert(cpu.numa_node).second) {
      return fmt::format("it has NUMA node {} twice", cpu.numa_node);
    }
    for (std::size_t other = 0; other < at; ++other) {
      const CpuSet both = cpu.affinity.intersection(topology.cpus[other].affinity);
      if (both.empty()) continue;
      return fmt::format("the CPU masks of its NUMA nodes {} and {} overlap (CPUs {})",
                         topology.cpus[other].numa_node, cpu.numa_node, both.to_string());
    }
  }
  for (const NcclCpu& cpu : topology.cpus) {
    const NumaNode* node = find_node(inventory, cpu.numa_node);
    if (node == nullptr) {
      return fmt::format("it has NUMA node {}, which this machine does not have", cpu.numa_node);
    }
    if (!cpu.mask.empty() && cpu.affinity != node->present_cpus) {
      return fmt::format("it gives NUMA node {} {}, and the kernel {}", cpu.numa_node,
                         cpus_or_none(cpu.affinity), cpus_or_none(node->present_cpus));
    }
  }
  return "";
}

// Each function once, whatever it is partitioned into.
std::map<std::string, const Gpu*> gpus_by_bus_id(const NodeInventory& inventory) {
  std::map<std::string, const Gpu*> gpus;
  for (const auto* list : {&inventory.gpus, &inventory.hidden_gpus}) {
    for (const Gpu& gpu : *list) {
      if (!gpu.bus_id.empty()) gpus.emplace(gpu.bus_id, &gpu);
    }
  }
  return gpus;
}

}  // namespace

const NcclDevice* NcclTopology::find(std::string_view bus_id) const {
  const auto found = std::find_if(devices.begin(), devices.end(), [&](const NcclDevice& device) {
    return device.bus_id == bus_id;
  });
  return found == devices.end() ? nullptr : &*found;
}

Result<NcclTopology> parse_nccl_topology(std::string_view text, const std::string& file_name) {
  return Reader(text, file_name).read();
}

std::string why_it_does_not_hold(const NcclTopology& topology, const NodeInventory& inventory) {
  const auto gpus = gpus_by_bus_id(inventory);
  if (gpus.empty()) return "this node has no GPU that it could place";
  if (std::string why = why_masks_do_not_hold(topology, inventory); !why.empty()) return why;
  for (const auto& [bus_id, gpu] : gpus) {
    const auto times =
        std::count_if(topology.devices.begin(), topology.devices.end(),
                      [&id = bus_id](const NcclDevice& device) { return device.bus_id == id; });
    if (times == 1) continue;
    return times == 0 ? "GPU " + bus_id + " of this node is not in it"
                      : fmt::format("it has GPU {} {} times", bus_id, times);
  }
  return "";
}

std::vector<Note> contradictions(const NcclTopology& topology, const NodeInventory& inventory) {
  std::vector<std::string> differing;
  for (const auto& [bus_id, gpu] : gpus_by_bus_id(inventory)) {
    const NcclDevice* device = topology.find(bus_id);
    if (device == nullptr || gpu->numa_node == kUnknown) continue;
    if (gpu->locality_source == LocalitySource::kOverride ||
        gpu->locality_source == LocalitySource::kGpusFile) {
      continue;
    }
    if (device->numa_node == gpu->numa_node) continue;
    differing.push_back(fmt::format("{} is on NUMA node {} by the file, and on {} by {}", bus_id,
                                    device->numa_node, gpu->numa_node,
                                    to_string(gpu->locality_source)));
  }
  if (differing.empty()) return {};
  return {{Note::Kind::kWarning, "NCCL topology file",
           "the file is believed: " + join(differing, "; "),
           "if the file is wrong, say where they are with --topology-override FILE"}};
}

}  // namespace muster::topology
