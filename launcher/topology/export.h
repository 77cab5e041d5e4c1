// What a node has, as an hwloc XML file that `--topology` reads and a bug report can carry.
#pragma once

#include <string>

#include "launcher/topology/node_inventory.h"
#include "muster/result.h"

namespace muster::topology {

enum class ExportName { kHostname, kNone };

// The CPUs and memory of the machine that the inventory is of, live ("" as xml_file) or recorded,
// allowed as the inventory has them; its GPUs, NICs and CPU quota in a line of Muster's own, in
// which every UUID is another one.  Serial numbers, MAC addresses, GUIDs, processes and notes are
// left out: of hwloc's facts only those go along that are known to be harmless.
Result<std::string> exported_topology(const std::string& xml_file, const NodeInventory& inventory,
                                      ExportName name);

// The pure parts.

// Without the facts that are not known to be harmless, names of objects, and hwloc's own additions.
std::string without_secrets(const std::string& xml, ExportName name);

// With one more fact of the whole machine.  Unchanged when the text is no hwloc XML.
std::string with_machine_fact(const std::string& xml, const std::string& name,
                              const std::string& value);

// The name of the fact that holds GPUs and NICs: devices_json.
inline constexpr const char* kDevicesFact = "MusterDevices";

}  // namespace muster::topology
