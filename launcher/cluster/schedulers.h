// What each scheduler says of the nodes of a job, in its own variables: one row of a table each.
#pragma once

#include <vector>

#include "launcher/cluster/membership.h"

namespace muster::cluster {

// What one source says; what it does not say is left out.
struct SchedulerWord {
  std::optional<Told<int>> node_count;
  std::optional<Told<int>> node_rank;
  std::optional<Told<std::string>> head_address;
  std::optional<Told<int>> port;
  std::optional<Told<std::string>> job_id;
  std::optional<Told<std::chrono::seconds>> time_left;
  std::string hint;  // what to do where this is not enough
};

// Nothing: this scheduler has not started us.  Errors: kUsage: what it says makes no sense.
using SchedulerLook = Result<std::optional<SchedulerWord>> (*)(const Surroundings&);

struct Scheduler {
  const char* name;
  SchedulerLook look;
};

// Those that say most come first: what an earlier one leaves out is taken from a later one.
const std::vector<Scheduler>& schedulers();

Result<std::optional<SchedulerWord>> look_at_slurm(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_pytorchjob(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_mpijob(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_indexed_job(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_sagemaker(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_vertex(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_aws_batch(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_azure_batch(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_pbs(const Surroundings& around);
Result<std::optional<SchedulerWord>> look_at_lsf(const Surroundings& around);

// Of a variable of the environment; nothing where it is unset or empty.
std::optional<std::string> variable(const Surroundings& around, const std::string& name);
// As a number from 0 to 1,000,000.  Errors: kUsage.
Result<std::optional<Told<int>>> number(const Surroundings& around, const std::string& name);
// Errors that name the variable and what it holds.
Failure senseless(const std::string& name, const std::string& value, const std::string& why);

// Where `name`, or what comes before its first dot, stands in `hosts`; nothing where it does not.
std::optional<int> place_of_host(const std::vector<std::string>& hosts, const std::string& name);

}  // namespace muster::cluster
