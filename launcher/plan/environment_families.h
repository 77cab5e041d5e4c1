// The families of names that training scripts look at, each in a file of its own; rank_environment
// puts them together.
//
// add_… gives the names, for all ranks or for one, with what is known when the plan is made.
// fill_… gives the values that depend on the start, or on what the config made of others; it is
// called again when the start is known, and leaves what the config has set.
#pragma once

#include "launcher/config/run_config.h"
#include "launcher/plan/environment_variables.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"

namespace muster::plan {

// What is asked for each rank and is the same for all of them, found once.
struct OfAllNodes {
  bool any_rank_has_gpus = false;
  bool has_amd = false;    // GPUs, visible on some node
  bool has_other = false;  // GPUs that are not AMD's
  // The plan says on some node what ranks see; then all of them get the names.
  bool visibility_decided = false;
  bool all_bound = true;
  bool equal_counts = true;      // of ranks
  bool equal_interfaces = true;  // by name
};

OfAllNodes of_all_nodes(const LaunchPlan& plan, const PlanInputs& inputs);

struct FamilyFacts {
  const config::RunConfig& config;
  const PlanInputs& inputs;
  const LaunchPlan& plan;  // with its nodes and ranks
  const Defaults& defaults;
  const OfAllNodes all = of_all_nodes(plan, inputs);

  const topology::NodeInventory& node_of(const RankPlacement& rank) const {
    return inputs.nodes[plan.node_index(rank.node_rank)];
  }
};

// torchrun's, NCCL's and gloo's; also a torchrun's that each rank starts (PET_*).
void add_torch_names(const FamilyFacts& facts, Variables& variables);
void add_torch_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables);
void fill_torch_names(const StartValues& start, LaunchPlan& plan);
// Of a launcher inside of each rank: that it is told of the others, or that they do not meet.
void explain_nested_launch(LaunchPlan& plan);

// AZUREML_*
void add_azureml_names(const FamilyFacts& facts, Variables& variables);
void add_azureml_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables);
void fill_azureml_names(const StartValues& start, LaunchPlan& plan);

// AZ_BATCH_*, AZ_BATCHAI_*, CCP_NODES
void add_batch_names(const FamilyFacts& facts, Variables& variables);
void add_batch_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables);
void fill_batch_names(const StartValues& start, LaunchPlan& plan);

// TF_CONFIG and Batch AI's names of the same, with tensorflow roles
void add_tensorflow_names(const FamilyFacts& facts, Variables& variables);
void add_tensorflow_names(const FamilyFacts& facts, const RankPlacement& rank,
                          Variables& variables);
void fill_tensorflow_names(const StartValues& start, LaunchPlan& plan);

// AZUREML_DATAREFERENCE_*, AZURE_ML_INPUT_* and the like
void add_data_names(const FamilyFacts& facts, Variables& variables);
void fill_data_names(const StartValues& start, LaunchPlan& plan);

// OMPI_COMM_WORLD_* and PMI_*, only where the config wants them.
void add_emulated_mpi_names(const FamilyFacts& facts, const RankPlacement& rank,
                            Variables& variables);

// OMP_NUM_THREADS and, where the config asks for them, its like of other libraries and places
void add_thread_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables);
void explain_threads(const FamilyFacts& facts, LaunchPlan& plan);

// MUSTER_GPU, and what narrows the visible GPUs
void add_gpu_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables);
// Warns of what contradicts the plan's GPUs.
void explain_gpus(const FamilyFacts& facts, LaunchPlan& plan);

// NCCL_IB_HCA, NCCL_TOPO_FILE, UCX_NET_DEVICES
void add_network_names(const FamilyFacts& facts, Variables& variables);
void add_network_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables);
// Also warns of what others have set and what contradicts the node.
void explain_network(const FamilyFacts& facts, LaunchPlan& plan);

}  // namespace muster::plan
