// A rank whose program starts training processes itself: torchrun, accelerate launch, deepspeed.
//
// Each rank is then one node of that launcher's world.  torchrun, and accelerate launch through it,
// take their options from variables too, PET_NNODES and so on, so what is missing on their command
// line can be given to them.  Other ranks never see these variables: a torchrun that a training
// script starts for itself must not wait for nodes that do not come.
#pragma once

#include <string>
#include <vector>

namespace muster::plan {

enum class NestedLauncher {
  kNone,
  kTorchrun,    // torchrun, python -m torch.distributed.run (or .launch)
  kAccelerate,  // accelerate launch: one process joins by RANK, several go through torchrun
  kDeepspeed,   // deepspeed: reads no world from its environment
};

struct NestedLaunch {
  NestedLauncher launcher = NestedLauncher::kNone;
  std::string name;             // as a person would call it
  bool joins_others = false;    // its command line does not ask for a world of this rank alone
  bool names_endpoint = false;  // its command line says where that world meets
};

// From what a rank execs, behind env, timeout, conda run and the like.  Of a shell's text, the
// first command that joins others, or else the first launcher.  What stands in a file, a script
// that starts torchrun, is not seen.
NestedLaunch find_nested_launch(const std::vector<std::string>& argv);

// Whether it is one of as many nodes as there are ranks once PET_* tell it so.
bool joins_by_variables(const NestedLaunch& nested);

}  // namespace muster::plan
