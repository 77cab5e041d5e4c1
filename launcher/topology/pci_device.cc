#include "launcher/topology/pci_device.h"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

namespace muster::topology {
namespace {

constexpr int kNvidia = 0x10de;
constexpr int kAmd = 0x1002;
constexpr int kIntel = 0x8086;

constexpr int kVga = 0x0300;
constexpr int k3d = 0x0302;
constexpr int kDisplay = 0x0380;      // AMD Instinct, Intel Data Center GPU
constexpr int kAccelerator = 0x1200;  // AMD Instinct MI300; also what is no GPU
constexpr int kInfiniBand = 0x0c06;

struct Address {
  unsigned domain = 0;
  unsigned bus = 0;
  unsigned device = 0;
  unsigned function = 0;

  auto order() const { return std::tie(domain, bus, device, function); }
};

// Takes hexadecimal digits from the front of `text`, and `after` behind them unless it is '\0'.
std::optional<unsigned> take(std::string_view& text, std::size_t most_digits, char after) {
  const std::size_t digits = text.find_first_not_of("0123456789abcdefABCDEF");
  const std::string_view number = text.substr(0, digits);
  if (number.empty() || number.size() > most_digits) return std::nullopt;
  text.remove_prefix(number.size());
  if (after == '\0' ? !text.empty() : !text.starts_with(after)) return std::nullopt;
  if (after != '\0') text.remove_prefix(1);
  unsigned value = 0;
  std::from_chars(number.data(), number.data() + number.size(), value, 16);
  return value;
}

std::optional<Address> address_of(std::string_view text) {
  Address address;
  if (text.find(':') != text.rfind(':')) {  // lspci leaves domain 0 out
    const auto domain = take(text, 8, ':');
    if (!domain) return std::nullopt;
    address.domain = *domain;
  }
  const auto bus = take(text, 2, ':');
  const auto device = bus ? take(text, 2, '.') : std::nullopt;
  const auto function = device ? take(text, 1, '\0') : std::nullopt;
  if (!function || *device > 0x1f || *function > 7) return std::nullopt;
  address.bus = *bus;
  address.device = *device;
  address.function = *function;
  return address;
}

// Intel's graphics inside the processor always have this address; they share the host's memory and
// train nothing.
bool is_integrated(const PciDevice& device) {
  return device.vendor == kIntel && device.bus_id.starts_with("0000:00:02.");
}

}  // namespace

std::string canonical_bus_id(const std::string& text) {
  const auto address = address_of(text);
  return address ? fmt::format("{:04x}:{:02x}:{:02x}.{:x}", address->domain, address->bus,
                               address->device, address->function)
                 : std::string();
}

bool bus_order(const std::string& a, const std::string& b) {
  const auto first = address_of(a);
  const auto second = address_of(b);
  return first && second ? first->order() < second->order() : a < b;
}

bool may_be_gpu(int device_class) {
  return device_class == kVga || device_class == k3d || device_class == kDisplay ||
         device_class == kAccelerator;
}

bool may_be_nic(int device_class) {
  return device_class >> 8 == 0x02 || device_class == kInfiniBand;
}

bool is_gpu(const PciDevice& device) {
  if (!may_be_gpu(device.device_class) || is_integrated(device)) return false;
  if (device.device_class == kAccelerator) return device.vendor == kAmd;
  return device.vendor == kNvidia || device.vendor == kAmd || device.vendor == kIntel;
}

}  // namespace muster::topology
