#include "launcher/topology/visible_list.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"

namespace muster::topology {
namespace {

// A GPU that is whole, or all instances of one: positions in the list of all.
struct Device {
  std::string uuid;
  std::vector<std::size_t> members;
  int number = 0;  // the driver's
};

// What an entry names; none, and why, where it is invalid.
struct Named {
  std::vector<std::size_t> gpus;
  std::string problem;
};

std::vector<Device> devices_of(const std::vector<Gpu>& all, const std::vector<int>& left_out) {
  int number = -1;
  std::vector<Device> devices;
  for (std::size_t at = 0; at < all.size(); ++at) {
    const Gpu& gpu = all[at];
    if (gpu.is_instance()) {
      const auto known = std::find_if(devices.begin(), devices.end(), [&](const Device& device) {
        return device.uuid == gpu.parent_uuid;
      });
      if (known != devices.end()) {
        known->members.push_back(at);
        continue;
      }
    }
    do {
      ++number;
    } while (std::find(left_out.begin(), left_out.end(), number) != left_out.end());
    devices.push_back({gpu.is_instance() ? gpu.parent_uuid : gpu.uuid, {at}, number});
  }
  return devices;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// As strtoul reads it, but that what is no number at all is invalid.
std::optional<std::int64_t> index_of(std::string_view entry) {
  std::string_view digits = entry;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  digits = digits.substr(0, digits.find_first_not_of("0123456789"));
  if (digits.empty()) return std::nullopt;
  const auto value = digits.size() > 9 ? std::int64_t{1'000'000'000} : parse_integer(digits);
  return negative ? -*value : *value;
}

// "the GPUs here are 0 to 3", or with a gap "0, 1, 3".
std::string numbers_of(const std::vector<Device>& devices) {
  if (devices.size() == 1) return fmt::format("the only GPU here is {}", devices[0].number);
  if (devices.back().number < std::ssize(devices)) {
    return fmt::format("the GPUs here are 0 to {}", devices.size() - 1);
  }
  std::vector<std::string> numbers;
  for (const Device& device : devices) numbers.push_back(std::to_string(device.number));
  return "the GPUs here are " + join(numbers, ", ");
}

Named by_index(std::string_view entry, const std::vector<Device>& devices,
               const std::vector<int>& left_out) {
  const auto index = index_of(entry);
  if (!index) return {{}, "it is no index"};
  if (*index < 0 || entry.starts_with('-')) return {{}, "a negative index ends the list"};
  for (const Device& device : devices) {
    if (device.number == *index) return {device.members, ""};
  }
  if (std::find(left_out.begin(), left_out.end(), *index) != left_out.end()) {
    return {{}, "that GPU is left out"};
  }
  return {{}, devices.empty() ? "no GPU is here" : numbers_of(devices)};
}

Named by_uuid(std::string_view entry, const std::vector<Device>& devices) {
  Named named;
  int fitting = 0;
  for (const Device& device : devices) {
    if (!device.uuid.starts_with(entry)) continue;
    ++fitting;
    named.gpus = device.members;
    if (device.uuid == entry) return named;
  }
  if (fitting == 1) return named;
  return {{}, fitting == 0 ? "no GPU here has that UUID" : "more than one GPU's UUID begins so"};
}

// "MIG-GPU-UUID/gpu instance/compute instance", of drivers before 470.
Named by_old_name(std::string_view entry, const std::vector<Gpu>& all) {
  const auto parts = split(entry.substr(std::string_view("MIG-").size()), '/');
  const auto gpu_instance = parts.size() == 3 ? parse_integer(parts[1]) : std::nullopt;
  const auto compute_instance = parts.size() == 3 ? parse_integer(parts[2]) : std::nullopt;
  if (!gpu_instance || !compute_instance) {
    return {{}, "it is not of the form MIG-GPU-UUID/gpu instance/compute instance"};
  }
  Named named;
  for (std::size_t at = 0; at < all.size(); ++at) {
    const Gpu& gpu = all[at];
    if (gpu.is_instance() && gpu.parent_uuid.starts_with(parts[0]) &&
        gpu.gpu_instance == *gpu_instance && gpu.compute_instance == *compute_instance) {
      named.gpus.push_back(at);
    }
  }
  if (named.gpus.size() == 1) return named;
  return {{},
          named.gpus.empty() ? "no instance here has that name" : "it fits more than one instance"};
}

Named by_instance(std::string_view entry, const std::vector<Gpu>& all) {
  Named named;
  for (std::size_t at = 0; at < all.size(); ++at) {
    if (!all[at].is_instance() || !all[at].uuid.starts_with(entry)) continue;
    if (all[at].uuid == entry) return {{at}, ""};
    named.gpus.push_back(at);
  }
  if (entry.starts_with("MIG-GPU-") && entry.find('/') != entry.npos) {
    return by_old_name(entry, all);
  }
  if (named.gpus.size() == 1) return named;
  return {{},
          named.gpus.empty() ? "no instance here has that UUID"
                             : "more than one instance's UUID begins so"};
}

bool is_gpu_uuid(std::string_view entry) {
  return entry.starts_with("GPU-");
}

bool is_instance_uuid(std::string_view entry) {
  return entry.starts_with("MIG-");
}

}  // namespace

VisibleList resolve_visible_list(std::string_view list, const std::vector<Gpu>& all,
                                 const std::vector<int>& left_out) {
  VisibleList result;
  if (trimmed(list).empty()) {
    result.is_empty = true;
    return result;
  }
  const std::vector<Device> devices = devices_of(all, left_out);
  std::optional<std::pair<bool, bool>> kind;  // of the first entry: GPU's UUID, instance's UUID
  for (const std::string& word : split(list, ',')) {
    const std::string_view entry = trimmed(word);
    const std::pair its_kind(is_gpu_uuid(entry), is_instance_uuid(entry));
    Named named;
    if (kind && *kind != its_kind) {
      named.problem = "indexes, GPU- and MIG- names do not mix in one list";
    } else if (its_kind.first) {
      named = by_uuid(entry, devices);
    } else if (its_kind.second) {
      named = by_instance(entry, all);
    } else {
      named = by_index(entry, devices, left_out);
      result.has_index = result.has_index || !named.gpus.empty();
    }
    if (named.gpus.empty()) {
      result.end_entry = entry.empty() ? "(nothing)" : std::string(entry);
      result.end_reason = named.problem.empty() ? "it names nothing" : named.problem;
      result.is_empty = !kind && index_of(entry) == -1;
      return result;
    }
    kind = its_kind;
    for (const std::size_t at : named.gpus) {
      if (std::find(result.gpus.begin(), result.gpus.end(), at) != result.gpus.end()) {
        result.gpus.clear();
        result.twice = entry;
        return result;
      }
      result.gpus.push_back(at);
    }
  }
  return result;
}

}  // namespace muster::topology
