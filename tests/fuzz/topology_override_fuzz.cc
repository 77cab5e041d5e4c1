// parse_topology_override(): any bytes as YAML or JSON.

#include "launcher/topology/topology_override.h"
#include "tests/fuzz/fuzz_target.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const auto file = topology::parse_topology_override(fuzz::text_of(data, size), "o.yaml");
  if (!file) {
    const Error& error = file.error();
    fuzz::require(!error.hint.empty(), "a refusal has a hint");
    fuzz::require(error.location && error.location->file == "o.yaml", "a refusal names its file");
    for (const char c : error.message) {
      const auto byte = static_cast<unsigned char>(c);
      fuzz::require((byte >= 0x20 && byte != 0x7f) || c == '\t',
                    "a message has no control characters");
    }
    return 0;
  }
  for (const auto* group : {&file->gpus, &file->nics}) {
    for (const auto& device : *group) {
      fuzz::require(!device.name.empty(), "a device has a name");
      fuzz::require(device.numa_node || device.usable, "something is said about each device");
      fuzz::require(!device.numa_node || *device.numa_node >= 0, "a NUMA node is a number");
      fuzz::require(device.location.line >= 1 && device.location.column >= 1,
                    "places count from 1");
    }
  }
  topology::Nic nic;
  nic.name = "mlx5_0";
  std::vector<topology::Nic> nics{nic};
  topology::apply_usability(*file, nics);
  return 0;
}
