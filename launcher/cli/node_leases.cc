#include "launcher/cli/node_leases.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/text_table.h"
#include "launcher/cli/load_run.h"

namespace muster::cli {

std::vector<exec::LeaseRecord> leases_of_node() {
  const auto directory =
      exec::LeaseDirectory::open(caller_environment(), exec::LeaseDirectory::Making::kIfThere);
  return directory ? directory->read() : std::vector<exec::LeaseRecord>();
}

std::string leases_text(const std::vector<exec::LeaseRecord>& leases) {
  if (leases.empty()) return "";
  TextTable table({{"run"}, {"CPUs"}, {"GPUs"}, {"launcher"}, {"since"}});
  for (const exec::LeaseRecord& lease : leases) {
    const plan::HeldByRun& held = lease.held;
    table.add_row({held.run_id, held.cpus.empty() ? "-" : held.cpus.to_string(),
                   held.gpus.empty() ? "-" : join(held.gpus, ","),
                   "process " + std::to_string(held.pid), lease.since});
  }
  return "leased\n" + table.to_string("  ");
}

std::string with_leases_json(const std::string& topology,
                             const std::vector<exec::LeaseRecord>& leases) {
  using Json = nlohmann::ordered_json;
  Json json = Json::parse(topology);
  json["leases"] = Json::array();
  for (const exec::LeaseRecord& lease : leases) {
    json["leases"].push_back({{"run_id", lease.held.run_id},
                              {"launcher_pid", lease.held.pid},
                              {"cpus", lease.held.cpus.to_string()},
                              {"gpus", lease.held.gpus},
                              {"since", lease.since}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace muster::cli
