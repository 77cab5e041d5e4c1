#include "collector/store/output_names.h"

#include <utility>

namespace muster::store {

Result<OutputNames::Lock> OutputNames::take(const std::string& path, std::uint64_t size,
                                            const std::string& xxh3, const SafeRoot& root,
                                            FileManifest& manifest) {
  Lock held = lock();
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string above = path.substr(0, slash);
    if (others_.contains(above)) MUSTER_TRY(move_away(above, slash, root, manifest));
  }
  if (others_.contains(path)) MUSTER_TRY(move_away(path, path.size(), root, manifest));
  const std::string below = path + "/";
  while (true) {
    const auto inside = others_.lower_bound(below);
    if (inside == others_.end() || !inside->first.starts_with(below)) break;
    MUSTER_TRY(move_away(std::string(inside->first), path.size(), root, manifest));
  }
  own_[path] = {size, xxh3};
  return held;
}

// The name that is in the way ends at `name_end`; what is below it keeps its own.
Result<> OutputNames::move_away(const std::string& path, std::size_t name_end, const SafeRoot& root,
                                FileManifest& manifest) {
  const int rank = others_.at(path);
  const std::string base = path.substr(0, name_end) + ".rank-" + std::to_string(rank);
  std::string to = base + path.substr(name_end);
  for (int number = 2; others_.contains(to) || own_.contains(to); ++number) {
    to = base + "." + std::to_string(number) + path.substr(name_end);
  }
  // On record first: a file that has another name than its record says would be a lost one.
  manifest.moved(path, {to, 0});
  MUSTER_TRY(manifest.flush());
  MUSTER_TRY(root.rename(path, to));
  others_.erase(path);
  others_[to] = rank;
  moved_.push_back({path, to});
  return {};
}

void OutputNames::changed(const std::string& path) {
  const Lock held = lock();
  if (const auto found = own_.find(path); found != own_.end()) found->second.xxh3.clear();
}

void OutputNames::give_up(const std::string& path) {
  const Lock held = lock();
  own_.erase(path);
}

bool OutputNames::is_own_content(std::string_view path, std::uint64_t size,
                                 std::string_view xxh3) const {
  const auto found = own_.find(path);
  return found != own_.end() && !xxh3.empty() && found->second.size == size &&
         found->second.xxh3 == xxh3;
}

}  // namespace muster::store
