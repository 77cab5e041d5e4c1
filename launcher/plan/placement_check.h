// What a rank was seen to do with its cores and its memory, against the plan: a sentence for each
// difference.  Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/cpu_set.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/run_outcome.h"

namespace muster::plan {

// A thread of a rank with another mask than the rank's process had at its start.
struct ThreadSeen {
  int pid = 0;
  int tid = 0;  // pid: the process's first thread, whose mask its children inherit
  std::string name;
  CpuSet cpus;
};

struct PlacementLook {
  PlacementSeen seen;
  std::vector<ThreadSeen> narrowed = {};  // the narrowest first
  int narrowed_count = 0;                 // of which `narrowed` are a few
};

// What the rank runs, as far as it may explain a difference.
struct RankProgram {
  int pid = 0;                                          // of the training process
  std::vector<std::string> argv = {};                   // as it was exec'd
  std::map<std::string, std::string> environment = {};  // the rank's
  bool omp_binding = false;   // that variables of OpenMP are those of resources.omp_binding
  CpuSet cpus_at_start = {};  // empty: not known
  CpuSet launcher_cpus = {};  // what the launcher may use now, where it is on the same node
};

// Of the later look.  A rank that is not bound is compared with what it had at its start.
std::vector<std::string> differences_of_cpus(const RankPlacement& planned,
                                             const PlacementLook& look, const RankProgram& program);

// Nothing where a rank has no memory policy, or where all its memory is on its nodes anyway.
std::vector<std::string> differences_of_memory(const RankPlacement& planned,
                                               const PlacementSeen& seen);

// A policy that is another one than at the start, whatever the plan.
std::vector<std::string> changes_of_memory(const PlacementSeen& first, const PlacementSeen& later);

// Of GPUs by UUID, where it is known which ones the rank's processes use; empty: it is not.
std::vector<std::string> differences_of_gpus(const std::vector<RankPlacement>& ranks, int rank,
                                             const std::set<std::string>& used);

}  // namespace muster::plan
