// Placement in the words that the plan's table, its JSON and its picture have in common.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "launcher/plan/launch_plan.h"

namespace muster::plan {

// As resources.memory_policy has it: "preferred".
const char* to_word(config::MemoryPolicy policy);

// "0-1", "0-1 shared"; "" for a rank without GPUs.
std::string gpus_in_words(const RankPlacement& rank);

// The memory that a rank takes from: "preferred", "strict 0-1" where its cores are elsewhere, too.
std::string memory_in_words(const RankPlacement& rank);

// "P 95.0: locality 1, exclusive 1, balance 1, use 0.5, coverage 1; apart: memory 1, …"
std::string score_in_words(const PlacementScore& score);

// "strict 95.0 (taken), balanced 93.2, spill 93.2"; "" when nothing was chosen among.
std::string candidates_in_words(const NodePlan& node);

// Nodes that are placed alike but for their names and the numbers of their ranks.
struct AlikeNodes {
  std::vector<const NodePlan*> nodes;                    // by node rank; the first stands for all
  std::vector<std::vector<const RankPlacement*>> ranks;  // of each of them, by local rank
};

// Whether two nodes are of one kind beside what the plan says of them.
using AreAlike = std::function<bool(const NodePlan&, const NodePlan&)>;

// By the node rank of the first of each kind.
std::vector<AlikeNodes> alike_nodes(const LaunchPlan& plan, const AreAlike& also_alike = {});

// "node-b (ranks 8-15), node-c (ranks 16-23)", and how many more after some; "" for one node.
std::string others_in_words(const AlikeNodes& alike);

}  // namespace muster::plan
