#include "launcher/plan/gpu_blocks.h"

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/placement_errors.h"

namespace muster::plan {
namespace {

using config::GpuAssignment;
using topology::Gpu;

GpuBlock part(const GpuBlock& gpus, int first, int count) {
  return {gpus.begin() + first, gpus.begin() + first + count};
}

// What would fit, in words of the config.
std::string what_fits(const PlacementRequest& request, int gpus, int ranks, int per_rank) {
  const std::string fewer =
      gpus >= per_rank ? set_processes(request, gpus / per_rank) + ", or " : "";
  const std::string narrower =
      gpus >= ranks && gpus / ranks < per_rank
          ? fmt::format("gpus_per_process to {} or less, or ", gpus / ranks)
          : "";
  const bool set_said = fewer.starts_with("set ");
  return fmt::format("{}{}{}gpus_per_process to 0 for a run on CPUs", fewer, set_said ? "" : "set ",
                     narrower);
}

Result<> check_fit(const topology::NodeInventory& inventory, const GpuBlock& gpus, int ranks,
                   const PlacementRequest& request) {
  const auto& wanted = request.resources.gpus_per_process;
  const auto count = static_cast<int>(gpus.size());
  if (std::int64_t{ranks} * *wanted.value <= count) return {};
  const std::string visible = count == 0 ? "no GPU" : counted(count, "GPU");
  // Nothing that the number of processes could mend is the fault of it.
  const bool by_count = count >= *wanted.value && request.process_count.origin.location.has_value();
  return cannot_place(
      inventory, request.process_count.value,
      fmt::format("{} visible and gpus_per_process is {}", visible, *wanted.value),
      count == 0 ? "set gpus_per_process to 0 for a run on CPUs, or see why none is found: muster "
                   "topo"
                 : what_fits(request, count, ranks, *wanted.value),
      by_count ? request.process_count.origin : wanted.origin);
}

GpuBlocks neighbours(const GpuBlock& gpus, int ranks, int per_rank) {
  GpuBlocks blocks;
  for (int rank = 0; rank < ranks; ++rank) {
    blocks.of_rank.push_back(part(gpus, rank * per_rank, per_rank));
  }
  return blocks;
}

// All of them, the remainder to the lowest ranks.
GpuBlocks everything(const GpuBlock& gpus, int ranks) {
  GpuBlocks blocks;
  const auto count = static_cast<int>(gpus.size());
  int at = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const int size = count / ranks + (rank < count % ranks ? 1 : 0);
    blocks.of_rank.push_back(part(gpus, at, size));
    at += size;
  }
  return blocks;
}

// `per_rank` from GPU floor(rank * G / ranks) on; one of them when there are more ranks than GPUs.
GpuBlocks spaced(const GpuBlock& gpus, int ranks, int per_rank) {
  GpuBlocks blocks;
  const auto count = static_cast<std::int64_t>(gpus.size());
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    blocks.of_rank.push_back(part(gpus, static_cast<int>(rank * count / ranks), per_rank));
  }
  blocks.shared = ranks > count;
  return blocks;
}

}  // namespace

Result<GpuBlocks> gpu_blocks(const topology::NodeInventory& inventory, const GpuBlock& gpus,
                             int ranks, const PlacementRequest& request) {
  const auto& wanted = request.resources.gpus_per_process;
  const auto& assignment = request.resources.gpu_assignment;
  const auto count = static_cast<int>(gpus.size());
  const bool no_gpus = wanted.value ? *wanted.value == 0 : count == 0;
  if (no_gpus || ranks == 0) return neighbours(gpus, ranks, 0);
  if (wanted.value) {
    MUSTER_TRY(check_fit(inventory, gpus, ranks, request));
    if (assignment.value == GpuAssignment::kOrdinal && *wanted.value > 1) {
      return Failure(
          Error{ErrorCode::kConfig,
                fmt::format("gpu_assignment is ordinal, which is one GPU for each rank, and "
                            "gpus_per_process is {}",
                            *wanted.value),
                "leave out gpus_per_process, or set gpu_assignment to block",
                assignment.origin.location});
    }
  }
  if (ranks > count) return spaced(gpus, ranks, 1);
  switch (assignment.value) {
    case GpuAssignment::kOrdinal: return neighbours(gpus, ranks, 1);
    case GpuAssignment::kSpread: return spaced(gpus, ranks, wanted.value.value_or(1));
    case GpuAssignment::kBlock: break;
  }
  return wanted.value ? neighbours(gpus, ranks, *wanted.value) : everything(gpus, ranks);
}

std::string ordinals(const GpuBlock& gpus) {
  CpuSet numbers;
  for (const Gpu* gpu : gpus) numbers.insert(gpu->visible_ordinal);
  return numbers.to_string();
}

std::string ordinals(const std::vector<Gpu>& gpus) {
  CpuSet numbers;
  for (const Gpu& gpu : gpus) numbers.insert(gpu.visible_ordinal);
  return numbers.to_string();
}

std::string named(const GpuBlock& gpus) {
  return (gpus.size() == 1 ? "GPU " : "GPUs ") + ordinals(gpus);
}

}  // namespace muster::plan
