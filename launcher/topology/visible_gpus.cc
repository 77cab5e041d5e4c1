#include "launcher/topology/visible_gpus.h"

#include <algorithm>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/topology/gpu_answer.h"
#include "launcher/topology/visible_list.h"

namespace muster::topology {
namespace {

constexpr const char* kCudaList = "CUDA_VISIBLE_DEVICES";
constexpr const char* kCudaOrder = "CUDA_DEVICE_ORDER";
constexpr const char* kContainerList = "NVIDIA_VISIBLE_DEVICES";

using Environment = std::map<std::string, std::string>;

std::optional<std::string> value_of(const Environment& environment, const char* name) {
  const auto found = environment.find(name);
  if (found == environment.end()) return std::nullopt;
  return found->second;
}

// What somebody wrote, safe to print and not endless.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 160;
  std::string safe = without_controls(text.substr(0, kMost));
  return text.size() > kMost ? safe + "…" : safe;
}

std::string assignment(const char* name, std::string_view value) {
  return fmt::format("{}={}", name, shown(value));
}

std::string gpu_count(std::size_t count) {
  return counted(static_cast<std::int64_t>(count), "GPU");
}

Note::Kind kind_if(bool is_warning) {
  return is_warning ? Note::Kind::kWarning : Note::Kind::kInfo;
}

// What the list did that its author may not have meant.
std::optional<Note> note_on(const char* name, const std::string& value, const VisibleList& list,
                            std::size_t here, bool is_amd) {
  const char* maker = is_amd ? "ROCm" : "CUDA";
  if (!list.twice.empty()) {
    return Note{Note::Kind::kWarning, name,
                fmt::format("{} names a GPU twice, at \"{}\": {} then shows none at all",
                            assignment(name, value), shown(list.twice), maker),
                "name each GPU once"};
  }
  if (list.is_empty) {
    return Note{
        Note::Kind::kInfo, name,
        fmt::format("{}: none of the {} here is visible", assignment(name, value), gpu_count(here)),
        ""};
  }
  if (list.end_entry.empty()) return std::nullopt;
  if (list.end_entry.starts_with('-') && !list.gpus.empty()) return std::nullopt;  // meant so
  return Note{Note::Kind::kWarning, name,
              fmt::format("{} ends at \"{}\": {}; visible {} {}", assignment(name, value),
                          shown(list.end_entry), list.end_reason,
                          list.gpus.size() == 1 ? "is" : "are", gpu_count(list.gpus.size())),
              fmt::format("{} ignores an invalid entry and all after it; `muster topo` lists what "
                          "is here",
                          maker)};
}

std::string why_hidden(const char* name, const std::string& value, const VisibleList& list) {
  if (!list.twice.empty()) return fmt::format("{} is void", assignment(name, value));
  if (list.is_empty) return fmt::format("{} shows none", assignment(name, value));
  return fmt::format("not in {}", assignment(name, value));
}

// Keeps those of `visible` that the variable lists, in its order.
VisibleList apply(const char* name, const Environment& environment, VisibleGpus& gpus,
                  const std::vector<int>& left_out = {}) {
  const auto value = value_of(environment, name);
  if (!value) return {};
  VisibleList list = resolve_visible_list(*value, gpus.visible, left_out);
  if (gpus.visible.empty()) return list;
  const bool is_amd = gpus.visible.front().vendor == kAmdVendor;
  if (auto note = note_on(name, *value, list, gpus.visible.size(), is_amd)) {
    gpus.notes.push_back(std::move(*note));
  }
  std::vector<Gpu> listed;
  for (const std::size_t at : list.gpus) listed.push_back(gpus.visible[at]);
  for (std::size_t at = 0; at < gpus.visible.size(); ++at) {
    if (std::find(list.gpus.begin(), list.gpus.end(), at) != list.gpus.end()) continue;
    gpus.hidden.push_back(std::move(gpus.visible[at]));
    gpus.hidden.back().hidden_because = why_hidden(name, *value, list);
  }
  gpus.visible = std::move(listed);
  return list;
}

// "NVIDIA A100" of its instance "NVIDIA A100 MIG 1g.5gb" too.
std::string_view model_of(const Gpu& gpu) {
  return std::string_view(gpu.model).substr(0, gpu.model.find(" MIG"));
}

bool are_of_several_models(const std::vector<Gpu>& gpus) {
  return std::any_of(gpus.begin(), gpus.end(),
                     [&](const Gpu& gpu) { return model_of(gpu) != model_of(gpus.front()); });
}

// CUDA's own order is by speed, and only CUDA knows it; among GPUs of one model it is the bus's.
void note_order(const Environment& environment, const std::vector<Gpu>& all, bool by_number,
                VisibleGpus& gpus) {
  if (value_of(environment, kCudaOrder) == "PCI_BUS_ID" || !are_of_several_models(all)) return;
  gpus.notes.push_back(
      {kind_if(by_number || gpus.visible.size() > 1), kCudaOrder,
       "the GPUs are of several models, and CUDA numbers the fastest first: which GPU it means by "
       "a number is not known here, and the order of the PCI bus is taken",
       "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name GPUs by UUID in CUDA_VISIBLE_DEVICES"});
}

// One process sees one instance, and beside it no whole GPU.
void note_instances(VisibleGpus& gpus) {
  const auto instances = std::count_if(gpus.visible.begin(), gpus.visible.end(),
                                       [](const Gpu& gpu) { return gpu.is_instance(); });
  if (instances == 0 || gpus.visible.size() == 1) return;
  const auto whole = static_cast<std::int64_t>(gpus.visible.size()) - instances;
  gpus.notes.push_back({Note::Kind::kInfo, "MIG",
                        fmt::format("{}{} visible: CUDA shows a process one instance only",
                                    counted(instances, "instance"),
                                    whole > 0 ? " and " + counted(whole, "whole GPU") : ""),
                        "give each rank its own by UUID: resources.gpu_visibility: own"});
}

// The container runtime's variable acts before we start; it only explains what is missing.
void explain_container(const Environment& environment, const std::vector<Gpu>& all,
                       VisibleGpus& gpus) {
  const auto value = value_of(environment, kContainerList);
  if (!value || !all.empty()) return;
  if (*value == "void" || value->empty() || *value == "none") {
    gpus.notes.push_back({Note::Kind::kInfo, kContainerList,
                          fmt::format("{}: this container was started without GPUs",
                                      assignment(kContainerList, *value)),
                          ""});
    return;
  }
  gpus.notes.push_back(
      {Note::Kind::kInfo, kContainerList,
       fmt::format("{} asks for GPUs, and none is here: the host has none, or the container was "
                   "not started by NVIDIA's runtime",
                   assignment(kContainerList, *value)),
       "start it with --gpus all, or --device nvidia.com/gpu=all"});
}

// The GPU that an instance is of: by its old name, or the only one that is here.
const Gpu* parent_of(const std::string& entry, const std::vector<Gpu>& all) {
  const std::string_view old_name = std::string_view(entry).substr(std::string_view("MIG-").size());
  const auto uuid = [](const Gpu& gpu) { return gpu.is_instance() ? gpu.parent_uuid : gpu.uuid; };
  for (const Gpu& gpu : all) {
    if (!uuid(gpu).empty() && old_name.substr(0, old_name.find('/')) == uuid(gpu)) return &gpu;
  }
  const bool one = std::all_of(all.begin(), all.end(),
                               [&](const Gpu& gpu) { return gpu.bus_id == all[0].bus_id; });
  return one ? &all[0] : nullptr;
}

// An instance that the caller was given by name, where nobody shows us instances.
Gpu unseen_instance(const std::string& entry, const Gpu* parent) {
  Gpu instance;
  if (parent != nullptr) {
    instance = *parent;
    if (!parent->is_instance()) {
      instance.parent_uuid = parent->uuid;
      instance.model += instance.model.empty() ? "MIG" : " MIG";
    }
  }
  instance.vendor = kNvidiaVendor;
  instance.uuid = entry;
  instance.memory_bytes = 0;
  instance.gpu_instance = kUnknown;
  instance.compute_instance = kUnknown;
  instance.nvlinks.clear();
  instance.processes.clear();
  return instance;
}

// Adds the instances that CUDA_VISIBLE_DEVICES names and that no source could show us.
std::set<std::string> add_unseen_instances(const Environment& environment, VisibleGpus& gpus) {
  std::set<std::string> added;
  const std::vector<Gpu> all = gpus.visible;
  for (std::string entry : split(value_of(environment, kCudaList).value_or(""), ',')) {
    const auto first = entry.find_first_not_of(" \t");
    if (first == entry.npos) continue;
    entry = entry.substr(first, entry.find_last_not_of(" \t") - first + 1);
    const bool is_seen = std::any_of(all.begin(), all.end(), [&](const Gpu& gpu) {
      return gpu.uuid.starts_with("MIG-") && gpu.uuid.starts_with(entry);
    });
    if (!entry.starts_with("MIG-")) break;  // the list ends where kinds mix
    if (entry.size() < 8 || is_seen) continue;
    if (without_controls(entry) != entry || !added.insert(entry).second) continue;
    gpus.visible.push_back(unseen_instance(entry, parent_of(entry, all)));
  }
  return added;
}

void note_unseen(const std::set<std::string>& added, VisibleGpus& gpus) {
  std::erase_if(gpus.hidden, [&](const Gpu& gpu) { return added.contains(gpu.uuid); });
  for (const Gpu& gpu : gpus.visible) {
    if (!added.contains(gpu.uuid)) continue;
    gpus.notes.push_back(
        {Note::Kind::kWarning, kCudaList,
         fmt::format("{} is taken at its word: without NVML instances (MIG) are not shown here{}",
                     shown(gpu.uuid), gpu.bus_id.empty() ? ", nor which GPU it is of" : ""),
         "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility, of which `utility` "
         "brings NVML"});
  }
}

void see_nvidia(const Environment& environment, const GpuKnowledge& knowledge, VisibleGpus& gpus) {
  const std::vector<Gpu> all = gpus.visible;
  std::set<std::string> unseen;
  if (!knowledge.instances_known) unseen = add_unseen_instances(environment, gpus);
  const VisibleList list = apply(kCudaList, environment, gpus, knowledge.left_out);
  note_unseen(unseen, gpus);
  note_order(environment, all, list.has_index, gpus);
  note_instances(gpus);
}

// ROCR's list is applied below HIP's, whose numbers count what is left.
void see_amd(const Environment& environment, VisibleGpus& gpus) {
  apply("ROCR_VISIBLE_DEVICES", environment, gpus);
  const bool hip = environment.contains("HIP_VISIBLE_DEVICES");
  apply(hip ? "HIP_VISIBLE_DEVICES" : kCudaList, environment, gpus);
}

}  // namespace

VisibleGpus visible_gpus(std::vector<Gpu> all, const Environment& environment,
                         const GpuKnowledge& knowledge) {
  VisibleGpus gpus;
  gpus.visible = std::move(all);
  explain_container(environment, gpus.visible, gpus);
  if (!gpus.visible.empty()) {
    const int vendor = gpus.visible.front().vendor;
    if (vendor == kAmdVendor) {
      see_amd(environment, gpus);
    } else if (vendor != kIntelVendor) {
      see_nvidia(environment, knowledge, gpus);
    }
  }
  for (std::size_t at = 0; at < gpus.visible.size(); ++at) {
    gpus.visible[at].visible_ordinal = static_cast<int>(at);
    gpus.visible[at].hidden_because.clear();
  }
  for (Gpu& gpu : gpus.hidden) gpu.visible_ordinal = kUnknown;
  return gpus;
}

}  // namespace muster::topology
