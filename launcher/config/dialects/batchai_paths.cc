#include "launcher/config/dialects/batchai_paths.h"

#include <algorithm>
#include <array>

namespace muster::config {
namespace {

struct MountRoot {
  std::size_t begin = std::string::npos;
  std::size_t end = 0;  // after the variable
};

bool is_name(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// The next $AZ_BATCHAI_MOUNT_ROOT or $AZ_BATCHAI_JOB_MOUNT_ROOT, also with braces.
MountRoot find_mount_root(const std::string& text, std::size_t from) {
  constexpr std::array<std::string_view, 2> kNames{"AZ_BATCHAI_MOUNT_ROOT",
                                                   "AZ_BATCHAI_JOB_MOUNT_ROOT"};
  for (std::size_t at = text.find('$', from); at != std::string::npos;
       at = text.find('$', at + 1)) {
    const bool braces = text.compare(at, 2, "${") == 0;
    const std::size_t name = at + (braces ? 2 : 1);
    for (const std::string_view wanted : kNames) {
      if (text.compare(name, wanted.size(), wanted) != 0) continue;
      const std::size_t end = name + wanted.size();
      if (braces && end < text.size() && text[end] == '}') return {at, end + 1};
      if (!braces && (end == text.size() || !is_name(text[end]))) return {at, end};
    }
  }
  return {};
}

// The first part of a path that begins at `from` with a slash.
std::string first_part(const std::string& text, std::size_t from) {
  std::size_t begin = from;
  while (begin < text.size() && text[begin] == '/') ++begin;
  std::size_t end = begin;
  while (end < text.size() && (is_name(text[end]) || text[end] == '-' || text[end] == '.')) ++end;
  return begin == from ? "" : text.substr(begin, end - begin);
}

}  // namespace

std::optional<std::string> BatchAiPaths::place_of(const Given& at, const std::string& path) {
  const MountRoot root = find_mount_root(path, 0);
  if (root.begin == 0) {
    const std::size_t rest = std::min(path.find_first_not_of('/', root.end), path.size());
    if (rest < path.size() && path.find('$', rest) == std::string::npos) {
      return "datastore://" + path.substr(rest);
    }
  }
  if (path.find('$') == std::string::npos) return path;
  to_.refuse(at, "it is not below a mounted volume",
             "write $AZ_BATCHAI_MOUNT_ROOT/VOLUME/…, or a path without variables");
  return std::nullopt;
}

std::string BatchAiPaths::with_inputs(const Given& at, std::string text) {
  for (MountRoot root = find_mount_root(text, 0); root.begin != std::string::npos;
       root = find_mount_root(text, root.end)) {
    const std::string volume = first_part(text, root.end);
    if (volume.empty()) continue;
    const std::size_t end = text.find(volume, root.end) + volume.size();
    const std::string reference = "${{inputs." + input_for(at, volume) + "}}";
    text.replace(root.begin, end - root.begin, reference);
    root.end = root.begin + reference.size();
  }
  return text;
}

std::string BatchAiPaths::input_for(const Given& at, const std::string& volume) {
  if (const auto known = inputs_.find(volume); known != inputs_.end()) return known->second;
  std::string name = volume;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !is_name(c); }, '_');
  if (name.front() >= '0' && name.front() <= '9') name.insert(0, "_");
  while (!reserved_.insert(name).second) name += "_volume";
  const NativeKey key = NativeKey("inputs") / name;
  to_.set_node(key, at, Node{});
  to_.set(key / "path", at, "datastore://" + volume, "the volume " + volume);
  to_.set(key / "mode", at, "mount", "the volume " + volume);
  to_.set(key / "read_only", at, "false", "Batch AI mounts volumes for writing");
  inputs_[volume] = name;
  return name;
}

}  // namespace muster::config
