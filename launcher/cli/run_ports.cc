#include "launcher/cli/run_ports.h"

#include <algorithm>
#include <climits>
#include <string>
#include <unistd.h>

#include "base/text.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::cli {
namespace {

const config::Setting<std::string>* variable(const config::RunConfig& config,
                                             const std::string& wanted) {
  for (const auto& [name, setting] : config.environment_variables) {
    if (name == wanted) return &setting;
  }
  return nullptr;
}

bool is_this_node(const std::string& address) {
  std::string hostname(HOST_NAME_MAX + 1, '\0');
  if (::gethostname(hostname.data(), hostname.size()) != 0) hostname.clear();
  hostname.resize(std::min(hostname.find('\0'), hostname.size()));
  return address.starts_with("127.") || address == "localhost" || address == "::1" ||
         address == hostname;
}

// With an address elsewhere or a store of its own the config has taken the meeting of the ranks in
// hand, and a process that is alone meets nobody.
bool is_bound_by_rank_0(const config::RunConfig& config, int world_size) {
  const auto* address = variable(config, "MASTER_ADDR");
  const bool is_here = address == nullptr || is_this_node(address->value);
  const auto* store = variable(config, "TORCHELASTIC_USE_AGENT_STORE");
  const bool stored_elsewhere = store != nullptr && store->value == "True";
  return world_size > 1 && is_here && !stored_elsewhere;
}

// The port that the config names, or a free one.
Result<exec::PortLease> lease_master_port(const config::RunConfig& config, int world_size) {
  const auto* wanted = variable(config, "MASTER_PORT");
  if (wanted == nullptr) return exec::PortLease::take_any(exec::read_port_rules());
  if (!is_bound_by_rank_0(config, world_size)) return exec::PortLease();

  const auto port = parse_integer(wanted->value);
  if (!port || *port < 1 || *port > 65535) {
    return Failure(Error{ErrorCode::kConfig, "MASTER_PORT is not a port: \"" + wanted->value + "\"",
                         "write a number from 1 to 65535, or leave it out: each run gets a free "
                         "port of its own",
                         wanted->origin.location});
  }
  auto lease = exec::PortLease::take(static_cast<int>(*port));
  if (lease) return lease;
  Error error = std::move(lease).error();
  error.message = "MASTER_PORT: " + error.message;
  error.hint = "leave it out: each run gets a free port of its own; or choose another";
  error.location = wanted->origin.location;
  return Failure(std::move(error));
}

}  // namespace

void RunPorts::tell(plan::StartValues& start) const {
  start.master_port = std::to_string(master.port());
  start.service_port = std::to_string(service.port());
  start.rank_ports.clear();
  for (const exec::PortLease& lease : of_ranks) {
    start.rank_ports.push_back(std::to_string(lease.port()));
  }
}

Result<RunPorts> lease_ports(const config::RunConfig& config, const plan::LaunchPlan& plan) {
  RunPorts ports;
  MUSTER_TRY_ASSIGN(ports.master, lease_master_port(config, plan.world_size));
  const exec::PortRules rules = exec::read_port_rules();
  MUSTER_TRY_ASSIGN(ports.service, exec::PortLease::take_any(rules));
  const int count = plan::has_roles(plan) ? plan.world_size : 0;
  for (int rank = 0; rank < count; ++rank) {
    MUSTER_TRY_ASSIGN(exec::PortLease lease, exec::PortLease::take_any(rules));
    ports.of_ranks.push_back(std::move(lease));
  }
  return ports;
}

}  // namespace muster::cli
