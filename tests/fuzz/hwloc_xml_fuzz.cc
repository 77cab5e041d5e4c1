// read_recorded_machine(): any bytes in place of an hwloc XML file.  hwloc's importer runs in a
// child first, so what it dies of is a file that is refused.

#include "launcher/topology/hwloc_source.h"
#include "launcher/topology/recorded_devices.h"
#include "tests/fuzz/fuzz_root.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  static const fuzz::Root root({"."});
  root.write("node.xml", fuzz::text_of(data, size));
  const auto machine = topology::read_recorded_machine((root.path() / "node.xml").string());
  if (!machine) {
    fuzz::require(!machine.error().hint.empty(), "a refusal has a hint");
    return 0;
  }
  const auto& inventory = machine->inventory;
  for (const auto& core : inventory.cores) {
    fuzz::require(!core.pus.empty(), "a core has a hardware thread");
    fuzz::require(core.pus.intersection(inventory.allowed) == core.pus, "cores are allowed ones");
  }
  static_cast<void>(topology::recorded_gpus(machine->devices));
  static_cast<void>(topology::recorded_nics(machine->devices));
  return 0;
}
