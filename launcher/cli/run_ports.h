// The ports that ranks are told: all of them are this run's alone until its launcher ends.
#pragma once

#include <vector>

#include "launcher/config/run_config.h"
#include "launcher/exec/port_lease.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"
#include "muster/result.h"

namespace muster::cli {

struct RunPorts {
  exec::PortLease master;   // port 0: the config's, unchecked: no rank of this run binds it here
  exec::PortLease service;  // AZ_BATCH_MASTER_NODE's
  std::vector<exec::PortLease> of_ranks;  // with tensorflow roles

  void tell(plan::StartValues& start) const;
};

Result<RunPorts> lease_ports(const config::RunConfig& config, const plan::LaunchPlan& plan);

}  // namespace muster::cli
