#include "launcher/topology/nvidia_driver.h"

#include <algorithm>
#include <filesystem>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"
#include "launcher/topology/pci_device.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLargestFile = 65'536;

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_device_node(const std::string& name) {
  constexpr std::string_view kStart = "nvidia";
  return name.starts_with(kStart) && parse_integer(name.substr(kStart.size())).has_value();
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

// The value of "Model: \t\t NVIDIA A100"; "" when there is no such line.
std::string value_of(const std::string& text, std::string_view key) {
  for (const std::string& line : split(text, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && trimmed(line.substr(0, colon)) == key) {
      return trimmed(line.substr(colon + 1));
    }
  }
  return "";
}

Note left_out(const std::string& bus_id, const std::string& why, std::string hint) {
  return {Note::Kind::kWarning, "GPUs", "GPU " + bus_id + " is left out: " + why, std::move(hint)};
}

// False, and a note, when no process of ours could use it.
bool is_usable(const std::string& root, const std::string& information, const Gpu& gpu,
               GpuAnswer& answer) {
  if (value_of(information, "GPU Excluded") == "Yes") {
    answer.notes.push_back(left_out(gpu.bus_id, "the driver was told to exclude it", ""));
    return false;
  }
  if (gpu.physical_index == kUnknown) return true;
  const fs::path node = fs::path(root) / "dev" / ("nvidia" + std::to_string(gpu.physical_index));
  const std::string name = "/dev/" + node.filename().string();
  std::error_code error;
  if (!fs::exists(node, error)) {
    answer.notes.push_back(left_out(
        gpu.bus_id, name + " is not here",
        "`nvidia-modprobe -u` makes device nodes; a container is given them at its start"));
    return false;
  }
  if (::access(node.c_str(), R_OK | W_OK) != 0) {
    answer.notes.push_back(left_out(gpu.bus_id, name + " may not be opened by this user",
                                    "see who may open it: ls -l /dev/nvidia*"));
    return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> nvidia_device_nodes(const std::string& root) {
  std::vector<std::string> nodes = names_in(fs::path(root) / "dev");
  std::erase_if(nodes, [](const std::string& name) { return !is_device_node(name); });
  return nodes;
}

bool has_nvidia_driver(const std::string& root) {
  std::error_code error;
  return fs::exists(fs::path(root) / "proc/driver/nvidia", error) ||
         fs::exists(fs::path(root) / "dev/nvidiactl", error) || !nvidia_device_nodes(root).empty();
}

std::string nvidia_module_version(const std::string& root) {
  if (const auto text = read_file(fs::path(root) / "sys/module/nvidia/version", kLargestFile)) {
    return trimmed(text->substr(0, text->find('\n')));
  }
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 …"
  const auto text = read_file(fs::path(root) / "proc/driver/nvidia/version", kLargestFile);
  if (!text) return "";
  for (const std::string& word : split(text->substr(0, text->find('\n')), ' ')) {
    if (!word.empty() && word.find_first_not_of("0123456789.") == std::string::npos &&
        word.find('.') != std::string::npos) {
      return word;
    }
  }
  return "";
}

GpuAnswer read_nvidia_proc(const std::string& root) {
  GpuAnswer answer;
  answer.version = nvidia_module_version(root);
  const fs::path gpus = fs::path(root) / "proc/driver/nvidia/gpus";
  for (const std::string& name : names_in(gpus)) {
    const auto information = read_file(gpus / name / "information", kLargestFile);
    if (!information) continue;
    Gpu gpu;
    gpu.vendor = kNvidiaVendor;
    gpu.bus_id = canonical_bus_id(name);
    gpu.model = value_of(*information, "Model");
    gpu.uuid = value_of(*information, "GPU UUID");
    if (gpu.uuid.find('?') != std::string::npos) gpu.uuid.clear();  // the GPU has not been woken
    const auto minor = parse_integer(value_of(*information, "Device Minor"));
    gpu.physical_index =
        minor && *minor >= 0 && *minor < 4096 ? static_cast<int>(*minor) : kUnknown;
    if (gpu.bus_id.empty() || !is_usable(root, *information, gpu, answer)) continue;
    answer.gpus.push_back(std::move(gpu));
  }
  return answer;
}

}  // namespace muster::topology
