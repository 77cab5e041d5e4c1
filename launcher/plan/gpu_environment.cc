// Which GPUs a rank owns, and which it sees.
//
// All of the node stay visible unless the config says otherwise, since torch, Horovod and NCCL pick
// one by LOCAL_RANK; then nothing but Muster's own names is set.  Where they are narrowed or
// permuted it is by UUID, which means the same in every order; what the caller's
// CUDA_VISIBLE_DEVICES leaves out never comes back, because the plan has visible GPUs only.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/environment_families.h"

namespace muster::plan {
namespace {

using config::GpuVisibility;
using topology::Gpu;
using topology::kUnknown;

constexpr const char* kCudaDevices = "CUDA_VISIBLE_DEVICES";
constexpr const char* kCudaOrder = "CUDA_DEVICE_ORDER";

constexpr int kAmd = 0x1002;

bool is_amd(const Gpu& gpu) {
  return gpu.vendor == kAmd;
}

// A process that sets its own CUDA_VISIBLE_DEVICES counts over all GPUs of the node, not over those
// that its parent left visible.
std::string number_of(const Gpu& gpu) {
  return std::to_string(gpu.physical_index == kUnknown ? gpu.visible_ordinal : gpu.physical_index);
}

// All by UUID, or all by number: CUDA reads no list with both.
std::string device_list(const std::vector<Gpu>& gpus) {
  const bool by_uuid =
      std::all_of(gpus.begin(), gpus.end(), [](const Gpu& gpu) { return !gpu.uuid.empty(); });
  std::vector<std::string> devices;
  for (const Gpu& gpu : gpus) devices.push_back(by_uuid ? gpu.uuid : number_of(gpu));
  return join(devices, ",");
}

std::vector<Gpu> of_kind(const std::vector<Gpu>& gpus, bool amd) {
  std::vector<Gpu> chosen;
  for (const Gpu& gpu : gpus) {
    if (is_amd(gpu) == amd) chosen.push_back(gpu);
  }
  return chosen;
}

// "0,1,2": HIP counts over what ROCR leaves visible.
std::string first_numbers(std::size_t count) {
  std::vector<std::string> numbers;
  for (std::size_t i = 0; i < count; ++i) numbers.push_back(std::to_string(i));
  return join(numbers, ",");
}

void add_visible(const std::string& cuda, const std::vector<Gpu>& amd, bool has_cuda, bool has_amd,
                 Variables& variables) {
  if (has_cuda) {
    add(variables, kCudaDevices, cuda);
    add(variables, kCudaOrder, "PCI_BUS_ID");
  }
  if (has_amd) {
    std::vector<std::string> numbers;
    for (const Gpu& gpu : amd) numbers.push_back(number_of(gpu));
    add(variables, "ROCR_VISIBLE_DEVICES", join(numbers, ","));
    add(variables, "HIP_VISIBLE_DEVICES", first_numbers(amd.size()));
  }
}

bool is_own(const NodePlan& node) {
  return node.gpu_visibility == GpuVisibility::kOwn;
}

// Those of `all` that are in a node's visible_devices, in its order.
std::vector<Gpu> listed(const std::vector<Gpu>& all, const std::vector<std::string>& devices) {
  std::vector<Gpu> gpus;
  for (const std::string& device : devices) {
    for (const Gpu& gpu : all) {
      if (gpu.uuid == device || (gpu.uuid.empty() && number_of(gpu) == device)) gpus.push_back(gpu);
    }
  }
  return gpus;
}

void warn_of_config_devices(const FamilyFacts& facts, LaunchPlan& plan) {
  const auto* setting = set_by_config(facts.config, kCudaDevices);
  if (setting == nullptr || !facts.all.any_rank_has_gpus) return;
  const bool decided = facts.all.visibility_decided;
  const auto& caller = facts.inputs.caller_environment;
  const auto universe = caller.find(kCudaDevices);
  if (!decided && universe != caller.end() && universe->second == setting->value) return;
  plan.warnings.push_back(fmt::format(
      "{}={} ({}) is what every rank sees, {}; leave it out, or set it around muster, where the "
      "plan goes by it",
      kCudaDevices, setting->value, setting->origin.text,
      decided ? "and not the GPUs that the plan chose for each"
              : "and the plan was made without it: GPU k of a rank may be another"));
}

bool models_differ(const std::vector<Gpu>& gpus) {
  // "NVIDIA A100" of its instance "NVIDIA A100 MIG 1g.5gb" too.
  const auto model = [](const Gpu& gpu) { return gpu.model.substr(0, gpu.model.find(" MIG")); };
  return std::any_of(gpus.begin(), gpus.end(),
                     [&](const Gpu& gpu) { return model(gpu) != model(gpus.front()); });
}

// CUDA puts the fastest first unless it is told to go by bus ids, as NVML and the plan do.
void warn_of_device_order(const FamilyFacts& facts, LaunchPlan& plan) {
  if (!facts.all.any_rank_has_gpus || !facts.all.has_other) return;
  const auto& caller = facts.inputs.caller_environment;
  const auto* setting = set_by_config(facts.config, kCudaOrder);
  const auto inherited = caller.find(kCudaOrder);
  std::string order = inherited == caller.end() ? "" : inherited->second;
  if (setting != nullptr) order = setting->value;
  const bool ours =
      !plan.rank_environment.empty() && is_there(plan.rank_environment.front(), kCudaOrder);
  if (ours || order == "PCI_BUS_ID") return;
  for (const topology::NodeInventory& node : facts.inputs.nodes) {
    if (node.gpus.size() < 2 || !models_differ(node.gpus)) continue;
    plan.warnings.push_back(fmt::format(
        "{} on {} differ in model, and CUDA counts the fastest first: cuda:0 may be another GPU "
        "than the plan's GPU 0; set CUDA_DEVICE_ORDER=PCI_BUS_ID around muster",
        counted(static_cast<std::int64_t>(node.gpus.size()), "GPU"), node.hostname));
    return;
  }
}

}  // namespace

void add_gpu_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables) {
  // Every rank has the same names: one without GPUs, beside others that have some, has empty
  // values.
  if (facts.all.any_rank_has_gpus) {
    std::vector<std::string> ordinals;
    std::vector<std::string> uuids;
    for (const Gpu& gpu : rank.gpus) {
      ordinals.push_back(std::to_string(gpu.visible_ordinal));
      uuids.push_back(gpu.uuid);
    }
    const bool known = std::none_of(uuids.begin(), uuids.end(),
                                    [](const std::string& uuid) { return uuid.empty(); });
    add(variables, "MUSTER_GPU", join(ordinals, ","));
    add(variables, "MUSTER_GPU_UUID", known ? join(uuids, ",") : "");
  }
  if (!facts.all.visibility_decided) return;
  const bool has_amd = facts.all.has_amd;
  const bool has_cuda = facts.all.has_other;
  const NodePlan& node = facts.plan.node(rank.node_rank);
  const std::vector<Gpu>& all = facts.node_of(rank).gpus;
  if (is_own(node) || node.visible_devices.empty()) {
    const std::vector<Gpu>& seen = is_own(node) ? rank.gpus : all;
    add_visible(device_list(of_kind(seen, false)), of_kind(seen, true), has_cuda, has_amd,
                variables);
  } else {
    add_visible(join(node.visible_devices, ","), of_kind(listed(all, node.visible_devices), true),
                has_cuda, has_amd, variables);
  }
}

void explain_gpus(const FamilyFacts& facts, LaunchPlan& plan) {
  warn_of_config_devices(facts, plan);
  warn_of_device_order(facts, plan);
}

}  // namespace muster::plan
