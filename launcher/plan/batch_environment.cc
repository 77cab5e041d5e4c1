// AZ_BATCH_* and AZ_BATCHAI_*: what Azure Batch and Batch AI tell a task, and what is still read by
// scripts that are used elsewhere.
//
// AZ_BATCH_MASTER_NODE is "address:port".  In Azure the port is a service's own and must not be
// used; older copies of a widely pasted helper use it all the same, as MASTER_PORT.  Here it is
// leased for the run as MASTER_PORT is, and is another one: who follows either name meets the other
// ranks, and a program that listens on MASTER_PORT is not in the way of one that follows this name.
#include "base/text.h"
#include "launcher/plan/batch_directories.h"
#include "launcher/plan/environment_families.h"
#include "launcher/plan/planned_network.h"

namespace muster::plan {
namespace {

// "2 10.0.0.4 16 10.0.0.5 16": the nodes and the cores of each.
std::string nodes_and_cores(const PlannedNetwork& network) {
  std::string text = std::to_string(network.addresses.size());
  for (std::size_t node = 0; node < network.addresses.size(); ++node) {
    text += " " + network.addresses[node] + " " + std::to_string(network.core_counts[node]);
  }
  return text;
}

// A variable may have 128 KiB, and every node is told of every other.
void add_lists_of_nodes(const PlannedNetwork& network, Variables& variables) {
  if (network.addresses.empty()) return;
  add(variables, "AZ_BATCH_HOST_LIST", join(network.addresses, ","));
  add(variables, "AZ_BATCH_NODE_LIST", join(network.addresses, ";"));
  add(variables, "CCP_NODES", nodes_and_cores(network));
}

}  // namespace

BatchDirectories::BatchDirectories(const std::string& node_directory)
    : root(node_directory),
      task(root + "/task"),
      temp(root + "/temp"),
      shared(root + "/shared"),
      host_file(root + "/hostfile") {}

std::string host_file_text(const LaunchPlan& plan) {
  std::string text;
  const PlannedNetwork& network = plan.network;
  for (std::size_t node = 0; node < network.addresses.size(); ++node) {
    text += network.addresses[node] + " slots=" + std::to_string(network.rank_counts[node]) + "\n";
  }
  return text;
}

void add_batch_names(const FamilyFacts& facts, Variables& variables) {
  const PlannedNetwork& network = facts.plan.network;
  add(variables, "AZ_BATCH_MASTER_NODE", "");
  add_lists_of_nodes(network, variables);
  for (const char* name :
       {"AZ_BATCH_JOB_ID", "AZ_BATCH_TASK_ID", "AZ_BATCH_NODE_ROOT_DIR", "AZ_BATCH_NODE_SHARED_DIR",
        "AZ_BATCH_NODE_MOUNTS_DIR", "AZ_BATCH_TASK_DIR", "AZ_BATCH_TASK_WORKING_DIR",
        "AZ_BATCH_TASK_SHARED_DIR"}) {
    add(variables, name, "");
  }
  add(variables, "AZ_BATCH_POOL_ID", "muster");
  add(variables, "AZ_BATCH_NODE_IS_DEDICATED", "true");
  add(variables, "AZ_BATCHAI_MPI_MASTER_NODE",
      facts.plan.of_several_nodes() ? network.master_address : "localhost");
  add(variables, "AZ_BATCHAI_JOB_MASTER_NODE_IP", network.master_address);
  for (const char* name :
       {"AZ_BATCHAI_PYTORCH_INIT_METHOD", "AZ_BATCHAI_MPI_HOST_FILE", "AZ_BATCHAI_ROOT",
        "AZ_BATCHAI_MOUNT_ROOT", "AZ_BATCHAI_JOB_MOUNT_ROOT", "AZ_BATCHAI_JOB_WORK_DIR",
        "AZ_BATCHAI_JOB_TEMP_DIR", "AZ_BATCHAI_JOB_TEMP", "AZ_BATCHAI_SHARED_JOB_TEMP",
        "AZ_BATCHAI_STDOUTERR_DIR"}) {
    add(variables, name, "");
  }
}

void add_batch_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables) {
  const std::string is_master = rank.node_rank == 0 ? "true" : "false";
  add(variables, "AZ_BATCH_NODE_ID", facts.node_of(rank).hostname);
  add(variables, "AZ_BATCH_IS_CURRENT_NODE_MASTER", is_master);
  add(variables, "AZ_BATCHAI_IS_CURRENT_NODE_MASTER", is_master);
  const bool alike = rank.role == RankRole::kAlike;
  add(variables, "AZ_BATCHAI_TASK_INDEX", std::to_string(alike ? rank.rank : rank.role_index));
  add(variables, "AZ_BATCHAI_NUM_GPUS", std::to_string(facts.node_of(rank).gpus.size()));
}

void fill_batch_names(const StartValues& start, LaunchPlan& plan) {
  const std::string address = common_value(plan, "MASTER_ADDR");
  set_own(plan, "AZ_BATCH_MASTER_NODE", with_port(address, start.service_port));
  set_own(plan, "AZ_BATCHAI_PYTORCH_INIT_METHOD",
          "tcp://" + with_port(address, common_value(plan, "MASTER_PORT")));
  set_own(plan, "AZ_BATCH_JOB_ID", start.run_id);
  set_own(plan, "AZ_BATCH_TASK_ID", start.run_id);

  const BatchDirectories directories(start.node_directory);
  set_own(plan, "AZ_BATCH_NODE_ROOT_DIR", directories.root);
  set_own(plan, "AZ_BATCH_NODE_SHARED_DIR", directories.shared);
  set_own(plan, "AZ_BATCH_TASK_DIR", directories.task);
  set_own(plan, "AZ_BATCH_TASK_SHARED_DIR", directories.shared);
  set_own(plan, "AZ_BATCH_TASK_WORKING_DIR", plan.working_directory);
  set_own(plan, "AZ_BATCHAI_ROOT", directories.root);
  set_own(plan, "AZ_BATCHAI_MPI_HOST_FILE", directories.host_file);
  set_own(plan, "AZ_BATCHAI_JOB_WORK_DIR", plan.working_directory);
  set_own(plan, "AZ_BATCHAI_JOB_TEMP_DIR", directories.root);
  set_own(plan, "AZ_BATCHAI_JOB_TEMP", directories.temp);
  set_own(plan, "AZ_BATCHAI_SHARED_JOB_TEMP", directories.shared);
  set_own(plan, "AZ_BATCHAI_STDOUTERR_DIR", start.streams_directory);
  for (const char* name :
       {"AZ_BATCH_NODE_MOUNTS_DIR", "AZ_BATCHAI_MOUNT_ROOT", "AZ_BATCHAI_JOB_MOUNT_ROOT"}) {
    set_own(plan, name, start.data_directory);
  }
}

}  // namespace muster::plan
