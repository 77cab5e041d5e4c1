// Whether a disk that was full has room again: some more than nothing, so that it does not flutter.
#pragma once

#include <chrono>
#include <filesystem>

namespace muster::store {

class DiskRoom {
 public:
  explicit DiskRoom(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // Looks at most ten times a second.
  bool has_room();

 private:
  std::filesystem::path directory_;
  std::chrono::steady_clock::time_point looked_;
  bool had_room_ = false;
};

}  // namespace muster::store
