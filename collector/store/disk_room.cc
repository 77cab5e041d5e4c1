#include "collector/store/disk_room.h"

#include <algorithm>
#include <cstdint>
#include <sys/statvfs.h>

namespace muster::store {

bool DiskRoom::has_room() {
  constexpr std::uint64_t kMost = 64U << 20;
  constexpr std::uint64_t kLeast = 2U << 20;  // beyond what was set aside for stderr and metrics
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < std::chrono::milliseconds(100)) return had_room_;
  looked_ = now;
  struct statvfs space {};
  if (::statvfs(directory_.c_str(), &space) != 0) return had_room_ = false;
  const auto total = static_cast<std::uint64_t>(space.f_blocks) * space.f_frsize;
  const auto free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  // Two in a hundred, within bounds.
  const std::uint64_t wanted = std::clamp(total / 50, std::min(kLeast, total / 8), kMost);
  return had_room_ = free >= wanted;
}

}  // namespace muster::store
