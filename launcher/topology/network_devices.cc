// Reads /sys/class/infiniband and /sys/class/net.
//
// A device counts when sysfs has hardware below it (its link `device`): bonds, VLANs, bridges,
// docker0 and software RDMA (rxe, siw) have none.
#include "launcher/topology/network_devices.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "launcher/topology/nic_fitness.h"

namespace muster::topology {
namespace fs = std::filesystem;
namespace {

constexpr int kAmazon = 0x1d0f;
constexpr int kEthernetType = 1;  // ARPHRD_ETHER
constexpr int kInterfaceUp = 1;   // IFF_UP
constexpr int kMostPorts = 16;
constexpr int kGidsLookedAt = 4;  // the kernel fills them from the first on

// One line of a file of the kernel's; "" where there is none.
std::string line_of(const fs::path& file) {
  constexpr std::size_t kLongest = 4096;
  const auto text = read_file(file, kLongest);
  if (!text) return "";
  return text->substr(0, text->find('\n'));
}

std::optional<int> number_of(const fs::path& file) {
  std::string text = line_of(file);
  const bool hex = text.starts_with("0x");
  if (hex) text.erase(0, 2);
  int value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string link_name(const fs::path& link) {
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  return error ? "" : target.filename().string();
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end(), natural_less);
  return names;
}

// "200 Gb/sec (4X HDR)"; 0 where it is no such text.
double rate_of(const std::string& text) {
  double gigabits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), gigabits);
  static_cast<void>(end);
  return error == std::errc() && gigabits > 0 && gigabits < 1e6 ? gigabits : 0;
}

// What the path of a device in /sys/devices says: the PCI function that it is or hangs on.
struct Hardware {
  fs::path path;
  std::string bus_id;  // "" for one that is on no PCI bus (Hyper-V's, a platform's)
  bool usb = false;
};

std::optional<Hardware> hardware_of(const fs::path& entry) {
  std::error_code error;
  Hardware hardware;
  hardware.path = fs::canonical(entry / "device", error);
  if (error) return std::nullopt;
  for (const fs::path& part : hardware.path) {
    const std::string name = part.string();
    hardware.usb = hardware.usb || name.starts_with("usb");
    if (const std::string id = canonical_bus_id(name); !id.empty()) hardware.bus_id = id;
  }
  return hardware;
}

class Finder {
 public:
  Finder(const std::string& root, const std::vector<PciDevice>& pci) : classes_(root) {
    classes_ /= "sys/class";
    for (const PciDevice& device : pci) pci_.emplace(device.bus_id, &device);
  }

  std::vector<Nic> find() {
    for (const std::string& name : names_in(classes_ / "infiniband")) add_rdma(name);
    for (const std::string& name : names_in(classes_ / "net")) add_ethernet(name);
    return std::move(nics_);
  }

 private:
  Nic nic_on(const Hardware& hardware) const {
    Nic nic;
    nic.bus_id = hardware.bus_id;
    const auto known = pci_.find(hardware.bus_id);
    if (known != pci_.end()) {
      const PciDevice& device = *known->second;
      nic.numa_node = device.locality.numa_node;
      nic.package = device.locality.package;
      nic.locality_source = device.locality.source;
      nic.upstream = device.upstream;
      nic.physical_function = device.physical_function;
    } else if (const auto node = number_of(hardware.path / "numa_node"); node && *node >= 0) {
      nic.numa_node = *node;
      nic.locality_source = LocalitySource::kSysfs;
    }
    if (nic.physical_function.empty()) {
      nic.physical_function = canonical_bus_id(link_name(hardware.path / "physfn"));
    }
    return nic;
  }

  void add_rdma(const std::string& name) {
    const fs::path entry = classes_ / "infiniband" / name;
    const auto hardware = hardware_of(entry);
    if (!hardware) return;
    Nic nic = nic_on(*hardware);
    nic.name = name;
    const std::vector<std::string> interfaces = names_in(hardware->path / "net");
    rdma_hardware_.insert(hardware->path);
    int ports = 0;
    for (const std::string& text : names_in(entry / "ports")) {
      const auto port = parse_integer(text);
      if (!port || *port < 1 || ++ports > kMostPorts) continue;
      nic.port = static_cast<int>(*port);
      nic.interface = interface_of_port(hardware->path, interfaces, nic.port);
      nic.unfit.clear();
      describe_port(*hardware, entry / "ports" / text, nic);
      nics_.push_back(nic);
    }
  }

  // The one whose dev_port is the port's; functions with one port have one interface.
  static std::string interface_of_port(const fs::path& hardware,
                                       const std::vector<std::string>& interfaces, int port) {
    for (const std::string& interface : interfaces) {
      if (number_of(hardware / "net" / interface / "dev_port").value_or(0) == port - 1) {
        return interface;
      }
    }
    return "";
  }

  NicKind kind_of(const Hardware& hardware, const std::string& link_layer) const {
    const std::string driver = link_name(hardware.path / "driver");
    if (driver == "efa" || number_of(hardware.path / "vendor") == kAmazon) return NicKind::kEfa;
    if (driver == "hfi1") return NicKind::kOther;  // Omni-Path: neither NCCL nor UCX drives it
    if (link_layer == "InfiniBand") return NicKind::kInfiniBand;
    return link_layer == "Ethernet" ? NicKind::kRoce : NicKind::kOther;
  }

  void describe_port(const Hardware& hardware, const fs::path& port, Nic& nic) const {
    const std::string state = line_of(port / "state");
    const std::string physical = line_of(port / "phys_state");
    nic.kind = kind_of(hardware, line_of(port / "link_layer"));
    if (state.find("ACTIVE") != state.npos) {
      nic.state = LinkState::kActive;
      nic.gigabits_per_second = rate_of(line_of(port / "rate"));
      if (nic.kind == NicKind::kRoce && has_no_address(port)) nic.unfit = "no address (GID)";
    } else if (!state.empty()) {
      nic.state = LinkState::kDown;
      nic.gigabits_per_second = 0;
      if (state.find("INIT") != state.npos) {
        nic.unfit = "down: no subnet manager has set it up";
      } else if (physical.find("Polling") != physical.npos) {
        nic.unfit = "no carrier";
      }
    }
  }

  // Entries that are not readable say nothing: another network namespace's.
  static bool has_no_address(const fs::path& port) {
    bool empty = false;
    for (int index = 0; index < kGidsLookedAt; ++index) {
      const std::string gid = line_of(port / "gids" / std::to_string(index));
      if (gid.find_first_not_of("0:") != gid.npos) return false;
      empty = empty || !gid.empty();
    }
    return empty;
  }

  void add_ethernet(const std::string& name) {
    const fs::path entry = classes_ / "net" / name;
    if (!is_there(entry / "device")) return;
    const auto hardware = hardware_of(entry);
    if (!hardware || rdma_hardware_.contains(hardware->path)) return;
    if (number_of(entry / "type").value_or(kEthernetType) != kEthernetType) return;
    Nic nic = nic_on(*hardware);
    nic.name = name;
    nic.interface = name;
    nic.kind = NicKind::kEthernet;
    describe_interface(entry, nic);
    if (is_there(entry / "wireless") || is_there(entry / "phy80211")) {
      nic.kind = NicKind::kOther;
      if (nic.unfit.empty()) nic.unfit = "wireless";
    }
    const std::string driver = link_name(hardware->path / "driver");
    const bool like_a_bmc = driver == "cdc_ether" || driver == "rndis_host" || driver == "cdc_ncm";
    if (nic.unfit.empty() && hardware->usb && like_a_bmc) nic.unfit = "management: USB";
    // Of a bond, or of Hyper-V's pair of a slow and a fast way.
    const std::string master = link_name(entry / "master");
    if (nic.unfit.empty() && !master.empty()) nic.unfit = "part of " + master;
    nics_.push_back(std::move(nic));
  }

  static void describe_interface(const fs::path& entry, Nic& nic) {
    const std::string state = line_of(entry / "operstate");
    const std::optional<int> carrier = number_of(entry / "carrier");  // unreadable when it is down
    const bool up = (number_of(entry / "flags").value_or(kInterfaceUp) & kInterfaceUp) != 0;
    if (state == "up" || (state == "unknown" && carrier == 1)) {
      nic.state = LinkState::kActive;
      if (const auto speed = number_of(entry / "speed"); speed && *speed > 0) {
        nic.gigabits_per_second = *speed / 1000.0;
      }
    } else if (state == "unknown" || state.empty()) {
      nic.state = LinkState::kUntold;
    } else {
      nic.state = LinkState::kDown;
      nic.unfit = up ? "no carrier" : "down";
    }
  }

  fs::path classes_;
  std::map<std::string, const PciDevice*> pci_;
  std::set<fs::path> rdma_hardware_;
  std::vector<Nic> nics_;
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes a run of digits from the front, without zeros that lead; the longer one is the larger.
std::string_view take_digits(std::string_view& text) {
  std::size_t end = 0;
  while (end < text.size() && is_digit(text[end])) ++end;
  std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
  return digits;
}

}  // namespace

bool natural_less(std::string_view a, std::string_view b) {
  const std::string_view whole_a = a;
  const std::string_view whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const std::string_view first = take_digits(a);
      const std::string_view second = take_digits(b);
      if (first.size() != second.size()) return first.size() < second.size();
      if (first != second) return first < second;
      continue;
    }
    if (a.front() != b.front()) return a.front() < b.front();
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // "01" and "1"
}

std::vector<Nic> find_nics(const std::string& root, const std::vector<PciDevice>& pci) {
  std::vector<Nic> nics = Finder(root, pci).find();
  mark_unfit(nics);
  return nics;
}

}  // namespace muster::topology
