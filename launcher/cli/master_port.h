// Which port is MASTER_PORT, and that it is this run's alone.
#pragma once

#include "launcher/config/run_config.h"
#include "launcher/exec/port_lease.h"
#include "muster/result.h"

namespace muster::cli {

// A lease on the port that the config names, or on a free one.  Port 0: the config's, unchecked,
// because no rank of this run will bind it here.
Result<exec::PortLease> lease_master_port(const config::RunConfig& config, int world_size);

}  // namespace muster::cli
