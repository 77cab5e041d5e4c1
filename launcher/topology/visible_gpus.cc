#include "launcher/topology/visible_gpus.h"

#include <algorithm>
#include <optional>

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
                            std::size_t here) {
  if (!list.twice.empty()) {
    return Note{Note::Kind::kWarning, name,
                fmt::format("{} names a GPU twice, at \"{}\": CUDA then shows none at all",
                            assignment(name, value), shown(list.twice)),
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
              "CUDA ignores an invalid entry and all after it; `muster topo` lists what is here"};
}

std::string why_hidden(const char* name, const std::string& value, const VisibleList& list) {
  if (!list.twice.empty()) return fmt::format("{} is void", assignment(name, value));
  if (list.is_empty) return fmt::format("{} shows none", assignment(name, value));
  return fmt::format("not in {}", assignment(name, value));
}

// Keeps those of `visible` that the variable lists, in its order.
VisibleList apply(const char* name, const Environment& environment, VisibleGpus& gpus) {
  const auto value = value_of(environment, name);
  if (!value) return {};
  VisibleList list = resolve_visible_list(*value, gpus.visible);
  if (gpus.visible.empty()) return list;
  if (auto note = note_on(name, *value, list, gpus.visible.size())) {
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

void see_nvidia(const Environment& environment, VisibleGpus& gpus) {
  const std::vector<Gpu> all = gpus.visible;
  const VisibleList list = apply(kCudaList, environment, gpus);
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

VisibleGpus visible_gpus(std::vector<Gpu> all, const Environment& environment) {
  VisibleGpus gpus;
  gpus.visible = std::move(all);
  explain_container(environment, gpus.visible, gpus);
  if (!gpus.visible.empty()) {
    const int vendor = gpus.visible.front().vendor;
    if (vendor == kAmdVendor) {
      see_amd(environment, gpus);
    } else if (vendor != kIntelVendor) {
      see_nvidia(environment, gpus);
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
