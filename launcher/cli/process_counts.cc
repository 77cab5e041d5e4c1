// GPUs are counted by their device files, which is what a container is given too: asking the driver
// would need its library for a number that torchrun's users know.

#include "launcher/cli/process_counts.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sched.h>
#include <string>

#include "base/text.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

int usable_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
  return std::max(1, CPU_COUNT(&cpus));
}

// /dev/nvidia0, /dev/nvidia1, …
int device_files() {
  int count = 0;
  std::error_code error;
  for (fs::directory_iterator at("/dev", error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("nvidia") && parse_integer(name.substr(6))) ++count;
  }
  return count;
}

int usable_gpus() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  const int devices = device_files();
  return visible == nullptr ? devices : visible_devices(devices, visible);
}

Failure no_gpus(const std::string& given_by) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return fail(ErrorCode::kResources,
              given_by + " gpu: no GPU can be seen: " + counted(device_files(), "device file") +
                  " /dev/nvidia*, CUDA_VISIBLE_DEVICES " +
                  (visible == nullptr ? "is not set" : "\"" + std::string(visible) + "\""),
              "write the number of ranks: -n 4");
}

}  // namespace

int visible_devices(int devices, std::string_view visible) {
  int count = 0;
  for (const std::string& each : split(visible, ',')) {
    const auto number = parse_integer(each);
    // CUDA looks no further than the first that is none.
    if (each.empty() || (number && (*number < 0 || *number >= devices))) break;
    ++count;
  }
  return std::min(count, devices);
}

Result<std::vector<config::Override>> with_counts(std::span<const config::Override> overrides) {
  std::vector<config::Override> counted_ones(overrides.begin(), overrides.end());
  // The last one counts; what it hides is shown as it was written.
  const auto last = std::find_if(
      counted_ones.rbegin(), counted_ones.rend(),
      [](const config::Override& each) { return each.key_path == "process_count_per_node"; });
  if (last == counted_ones.rend()) return counted_ones;
  const bool any = last->value == kGpuElseCpu;
  const int gpus = last->value == "gpu" || any ? usable_gpus() : 0;
  if (last->value == "gpu" && gpus == 0) return no_gpus(last->origin.text);
  if (gpus > 0) {
    last->value = std::to_string(gpus);
    last->origin.text += any ? " auto: GPUs that can be seen" : " gpu: GPUs that can be seen";
  } else if (last->value == "cpu" || any) {
    last->value = std::to_string(usable_cpus());
    last->origin.text += any ? " auto: CPUs that this process may use, as no GPU can be seen"
                             : " cpu: CPUs that this process may use";
  }
  return counted_ones;
}

}  // namespace muster::cli
