// A recorded /proc and /sys for tests of discovery, made by the test that uses it.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace muster::test {

class FakeMachine {
 public:
  explicit FakeMachine(std::filesystem::path root) : root_(std::move(root)) {}

  std::string root() const { return root_.string(); }

  void write(const std::string& name, std::string_view text) const {
    const std::filesystem::path path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }

  void link(const std::string& name, const std::string& target) const {
    const std::filesystem::path path = root_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::create_symlink(target, path);
  }

  // CPUs 0 … nodes × cores - 1, in order; each package has as many NUMA nodes as the next.
  void cpus(int packages, int nodes_per_package, int cores_per_node) const {
    const int nodes = packages * nodes_per_package;
    const int count = nodes * cores_per_node;
    online(fmt::format("0-{}", count - 1), fmt::format("0-{}", nodes - 1));
    for (int cpu = 0; cpu < count; ++cpu) {
      const int package = cpu / (cores_per_node * nodes_per_package);
      add_cpu(cpu, package, cpu % (cores_per_node * nodes_per_package));
    }
    for (int node = 0; node < nodes; ++node) {
      add_node(node, fmt::format("{}-{}", node * cores_per_node, (node + 1) * cores_per_node - 1));
    }
  }

  void online(const std::string& cpus, const std::string& nodes) const {
    write("sys/devices/system/cpu/online", cpus + "\n");
    write("sys/devices/system/cpu/possible", cpus + "\n");
    write("sys/devices/system/cpu/present", cpus + "\n");
    write("sys/devices/system/node/online", nodes + "\n");
    write("sys/devices/system/node/possible", nodes + "\n");
    write("proc/cpuinfo", "");
    write("proc/meminfo", "MemTotal:       64000000 kB\nHugepagesize:       2048 kB\n");
  }

  // `core` is its id within the package; CPUs with the same one are its hardware threads.
  void add_cpu(int cpu, int package, int core, const std::string& siblings = "") const {
    const std::string directory = fmt::format("sys/devices/system/cpu/cpu{}/", cpu);
    const std::string topology = directory + "topology/";
    write(topology + "physical_package_id", fmt::format("{}\n", package));
    write(topology + "core_id", fmt::format("{}\n", core));
    write(topology + "thread_siblings", mask(siblings.empty() ? std::to_string(cpu) : siblings));
    write(topology + "core_cpus", mask(siblings.empty() ? std::to_string(cpu) : siblings));
    write(directory + "online", "1\n");
    packages_.emplace_back(cpu, package);
    std::vector<int> of_package;
    for (const auto& [other, its] : packages_) {
      if (its == package) of_package.push_back(other);
    }
    for (const int other : of_package) {  // each grows with the package
      const std::string text = mask_of(of_package);
      const std::string its = fmt::format("sys/devices/system/cpu/cpu{}/topology/", other);
      write(its + "core_siblings", text);
      write(its + "package_cpus", text);
    }
  }

  // cpus "" is memory without CPUs.
  void add_node(int node, const std::string& cpus, const std::string& distances = "") const {
    const std::string directory = fmt::format("sys/devices/system/node/node{}/", node);
    write(directory + "cpulist", cpus + "\n");
    write(directory + "cpumap", mask(cpus));
    write(directory + "meminfo", fmt::format("Node {} MemTotal:       32000000 kB\n", node));
    if (!distances.empty()) write(directory + "distance", distances + "\n");
  }

  // What the kernel says of our process.
  void status(const std::string& cpus, const std::string& memory_nodes) const {
    write("proc/self/status", fmt::format("Name:\ttest\nCpus_allowed_list:\t{}\n"
                                          "Mems_allowed_list:\t{}\n",
                                          cpus, memory_nodes));
  }

  struct Pci {
    std::string bus_id;
    int device_class = 0x030200;
    int vendor = 0x10de;
    int numa_node = -1;
    std::string above = {};     // "pci0000:00/0000:00:01.0": what its sysfs path goes through
    std::string physical = {};  // bus id of its physical function
    std::vector<std::string> names = {};  // "net/eth0", "infiniband/mlx5_0"
  };

  void add(const Pci& pci) const {
    const std::string above = pci.above.empty() ? "pci" + pci.bus_id.substr(0, 7) : pci.above;
    const std::string directory = "sys/devices/" + above + "/" + pci.bus_id + "/";
    write(directory + "class", fmt::format("{:#08x}\n", pci.device_class));
    write(directory + "vendor", fmt::format("{:#06x}\n", pci.vendor));
    write(directory + "device", "0x20b0\n");
    write(directory + "numa_node", fmt::format("{}\n", pci.numa_node));
    if (!pci.physical.empty()) link(directory + "physfn", "../" + pci.physical);
    for (const std::string& name : pci.names) {
      std::filesystem::create_directories(root_ / (directory + name));
    }
    link("sys/bus/pci/devices/" + pci.bus_id, "../../../devices/" + above + "/" + pci.bus_id);
  }

 private:
  // A sysfs mask of a list such as "0-3,8": 32 bits a word, the highest first.
  static std::string mask(const std::string& list) {
    std::vector<int> cpus;
    std::size_t at = 0;
    while (at < list.size()) {
      const int first = std::stoi(list.substr(at));
      std::size_t end = list.find_first_not_of("0123456789", at);
      int last = first;
      if (end != std::string::npos && list[end] == '-') {
        last = std::stoi(list.substr(end + 1));
        end = list.find(',', end);
      }
      for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
      at = end == std::string::npos ? list.size() : end + 1;
    }
    return mask_of(cpus);
  }

  static std::string mask_of(const std::vector<int>& cpus) {
    std::vector<unsigned> words(1);
    for (const int cpu : cpus) {
      const auto word = static_cast<std::size_t>(cpu) / 32;
      if (words.size() <= word) words.resize(word + 1);
      words[word] |= 1U << (cpu % 32);
    }
    std::string text;
    for (auto word = words.rbegin(); word != words.rend(); ++word) {
      text += (text.empty() ? "" : ",") + fmt::format("{:08x}", *word);
    }
    return text + "\n";
  }

  std::filesystem::path root_;
  mutable std::vector<std::pair<int, int>> packages_ = {};  // CPU, package
};

}  // namespace muster::test
