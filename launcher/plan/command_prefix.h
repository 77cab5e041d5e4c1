// Programs that only start another one: env, nice, numactl, timeout, conda run, …
#pragma once

#include <string>
#include <vector>

namespace muster::plan {

// What is started in the end: "torchrun a.py" of "env LR=1 timeout 1h torchrun a.py".
std::vector<std::string> without_prefixes(std::vector<std::string> words);

}  // namespace muster::plan
