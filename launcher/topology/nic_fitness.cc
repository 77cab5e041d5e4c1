// Nothing in sysfs says what a NIC is for, so the rules are about what giving it to a rank would
// do: a port that is down carries nothing, one slow or foreign port among many slows all of a ring.
#include "launcher/topology/nic_fitness.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>

namespace muster::topology {
namespace {

// The words by which administrators tell interfaces apart, and what Azure calls the device of its
// accelerated networking, which is the way to storage and to everything else.
struct Word {
  std::string_view text;
  std::string_view purpose;
};
constexpr std::array kWords{
    Word{"storage", "storage"}, Word{"stor", "storage"},    Word{"nfs", "storage"},
    Word{"mgmt", "management"}, Word{"mgt", "management"},  Word{"management", "management"},
    Word{"bmc", "management"},  Word{"ipmi", "management"}, Word{"idrac", "management"},
    Word{"oob", "management"},
};
constexpr std::string_view kAcceleratedNetworking = "mlx5_an";

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// As a word of its own: "stor0", "rdma_stor", and not "restore".
bool has_word(std::string_view name, std::string_view word) {
  for (std::size_t at = name.find(word); at != name.npos; at = name.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || !is_letter(name[at - 1])) && (end == name.size() || !is_letter(name[end]))) {
      return true;
    }
  }
  return false;
}

bool is_candidate(const Nic& nic) {
  return nic.is_rdma() && nic.unfit.empty();
}

void mark_by_state(Nic& nic) {
  if (nic.unfit.empty() && nic.state == LinkState::kDown) nic.unfit = "down";
}

void mark_by_name(Nic& nic) {
  if (!nic.unfit.empty()) return;
  const std::string_view by_device = purpose_by_name(nic.name);
  const std::string_view purpose = by_device.empty() ? purpose_by_name(nic.interface) : by_device;
  if (!purpose.empty()) nic.unfit = std::string(purpose) + ", by its name";
}

// Of one physical function only one device is given out: the function itself where it is here (a
// host that has made virtual ones for others), else the first of its virtual ones.
void mark_virtual_functions(std::vector<Nic>& nics) {
  std::map<std::pair<std::string, int>, const Nic*> holders;  // of (bus id, port)
  for (const Nic& nic : nics) {
    if (is_candidate(nic) && nic.physical_function.empty() && !nic.bus_id.empty()) {
      holders.emplace(std::pair(nic.bus_id, nic.port), &nic);
    }
  }
  for (Nic& nic : nics) {
    if (!is_candidate(nic) || nic.physical_function.empty()) continue;
    const auto [holder, first] = holders.emplace(std::pair(nic.physical_function, nic.port), &nic);
    if (!first) nic.unfit = "shares the port of " + holder->second->name;
  }
}

// Collectives run at the speed of the slowest, and InfiniBand does not talk to Ethernet: beside two
// or more InfiniBand ports, RoCE is how the node gets at its storage (DGX).
void mark_foreign(std::vector<Nic>& nics) {
  const auto infiniband = std::count_if(nics.begin(), nics.end(), [](const Nic& nic) {
    return is_candidate(nic) && nic.kind == NicKind::kInfiniBand;
  });
  if (infiniband < 2) return;
  for (Nic& nic : nics) {
    if (is_candidate(nic) && nic.kind == NicKind::kRoce) {
      nic.unfit = "storage or management: Ethernet beside InfiniBand";
    }
  }
}

void mark_slow(std::vector<Nic>& nics) {
  double fastest = 0;
  for (const Nic& nic : nics) {
    if (is_candidate(nic)) fastest = std::max(fastest, nic.gigabits_per_second);
  }
  for (Nic& nic : nics) {
    if (!is_candidate(nic) || nic.gigabits_per_second <= 0) continue;
    if (nic.gigabits_per_second * 2 < fastest) {
      nic.unfit = "storage or management: less than half as fast as others";
    }
  }
}

}  // namespace

std::string_view purpose_by_name(std::string_view name) {
  if (name.starts_with(kAcceleratedNetworking)) return "management";
  for (const Word& word : kWords) {
    if (has_word(name, word.text)) return word.purpose;
  }
  return "";
}

void mark_unfit(std::vector<Nic>& nics) {
  for (Nic& nic : nics) {
    mark_by_state(nic);
    mark_by_name(nic);
  }
  mark_virtual_functions(nics);
  mark_foreign(nics);
  mark_slow(nics);
}

}  // namespace muster::topology
