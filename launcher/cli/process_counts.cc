#include "launcher/cli/process_counts.h"

#include <algorithm>
#include <cstdlib>
#include <sched.h>
#include <string>

#include "base/text.h"
#include "launcher/cli/load_run.h"
#include "launcher/topology/discover.h"

namespace muster::cli {
namespace {

int usable_cpus() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 1;
  return std::max(1, CPU_COUNT(&cpus));
}

// Those that the plan counts with, too.
int usable_gpus() {
  topology::TopologyOptions options;
  options.environment = caller_environment();
  const auto node = topology::discover(options);
  return node ? static_cast<int>(node->gpus.size()) : 0;
}

Failure no_gpus(const std::string& given_by) {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return fail(ErrorCode::kResources,
              given_by + " gpu: no GPU can be seen, CUDA_VISIBLE_DEVICES " +
                  (visible == nullptr ? "is not set" : "is \"" + std::string(visible) + "\""),
              "`muster topo` says what was looked at; or write the number of ranks: -n 4");
}

}  // namespace

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
