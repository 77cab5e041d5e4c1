// The machines of tests/data/machines as inventories, read from their descriptions alone: what
// discovery must find in the hwloc files that tests/support/make_machines.py writes from them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launcher/topology/node_inventory.h"

namespace muster::plan {

// A row of the expected table: what each local rank gets.
struct ExpectedPlacement {
  int processes = 1;
  std::vector<std::string> cpus;                        // Linux lists, by local rank
  std::optional<std::vector<std::vector<int>>> memory;  // NUMA OS indexes
  std::optional<std::vector<std::vector<std::string>>> nics;
  std::string layout;  // "" any
  double score = 100;  // P, to 0.1
};

struct DescribedMachine {
  std::string name;  // "dgx-a100"; "p4d-flat" is the twin whose devices say nothing of their place
  std::string title;
  topology::NodeInventory inventory;
  std::vector<ExpectedPlacement> expected;
};

// "dgx-a100", "nd-a100-v4", "nd-a100-v4-flat", … in the order of their names.
std::vector<std::string> described_machines();

std::vector<std::string> machines_with_expected_rows();

DescribedMachine described(const std::string& name);

}  // namespace muster::plan
