// CUDA's driver by name only: FAKE_CUDA_DEVICES is "BUS_ID NAME;BUS_ID NAME;…" in the order of the
// bus, or "error N".  It fails when it is asked without CUDA_DEVICE_ORDER=PCI_BUS_ID or with a
// CUDA_VISIBLE_DEVICES left, and "hang" never comes back.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

struct FakeDevice {
  std::string bus_id;
  std::string name;
};

std::vector<FakeDevice> devices;

FakeDevice& fake(int device) {
  return devices.at(static_cast<std::size_t>(device));
}

void put(const std::string& text, char* buffer, int length) {
  std::snprintf(buffer, static_cast<std::size_t>(length), "%s", text.c_str());
}

}  // namespace

extern "C" {

int cuInit(unsigned) {
  const char* order = std::getenv("CUDA_DEVICE_ORDER");
  if (order == nullptr || std::strcmp(order, "PCI_BUS_ID") != 0) return 999;
  if (std::getenv("CUDA_VISIBLE_DEVICES") != nullptr) return 998;
  const char* listed = std::getenv("FAKE_CUDA_DEVICES");
  const std::string all = listed != nullptr ? listed : "";
  if (all == "hang") {
    while (true) ::pause();
  }
  if (all.rfind("error ", 0) == 0) return std::atoi(all.c_str() + 6);
  std::istringstream lines(all);
  for (std::string one; std::getline(lines, one, ';');) {
    const std::size_t space = one.find(' ');
    devices.push_back({one.substr(0, space), one.substr(space + 1)});
  }
  return devices.empty() ? 100 : 0;
}

int cuGetErrorString(int status, const char** text) {
  *text =
      status == 803 ? "system has unsupported display driver / cuda driver combination" : nullptr;
  return *text != nullptr ? 0 : 1;
}

int cuDeviceGetCount(int* count) {
  *count = static_cast<int>(devices.size());
  return 0;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}

int cuDeviceGetPCIBusId(char* text, int length, int device) {
  put(fake(device).bus_id, text, length);
  return 0;
}

int cuDeviceGetName(char* text, int length, int device) {
  put(fake(device).name, text, length);
  return 0;
}

int cuDeviceGetUuid(unsigned char* bytes, int device) {
  for (int at = 0; at < 16; ++at) bytes[at] = static_cast<unsigned char>(16 * device + at);
  return 0;
}

int cuDeviceTotalMem_v2(std::size_t* bytes, int) {
  *bytes = std::size_t{16} << 30;
  return 0;
}
}
