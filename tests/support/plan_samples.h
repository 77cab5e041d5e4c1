// Inventories, configs and inputs for tests of planning.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "launcher/plan/make_plan.h"
#include "launcher/topology/discover.h"

namespace muster::plan {

// A file of tests/data/topologies, without its ".xml".
inline topology::NodeInventory machine(const std::string& name) {
  auto inventory =
      topology::discover({std::string(MUSTER_TEST_DATA) + "/topologies/" + name + ".xml"});
  EXPECT_TRUE(inventory) << inventory.error().message;
  return inventory ? *inventory : topology::NodeInventory{};
}

// Those without devices; the others are in tests/support/machines.h.
inline std::vector<std::string> all_machines() {
  const std::filesystem::path data = MUSTER_TEST_DATA;
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data / "topologies")) {
    if (entry.path().extension() != ".xml") continue;
    const std::string name = entry.path().stem().string();
    const std::string described = name.substr(0, name.find("-flat"));
    if (!std::filesystem::exists(data / "machines" / (described + ".json"))) names.push_back(name);
  }
  return names;
}

inline config::Origin from_line(int line, int column, const std::string& text) {
  config::Origin origin;
  origin.kind = config::Origin::Kind::kFile;
  origin.text = "run.yaml:" + std::to_string(line) + ":" + std::to_string(column);
  origin.location = Location{"run.yaml", line, column, text};
  return origin;
}

// entry_script train.py with one parameter, from /data/digits/run.yaml.
inline config::RunConfig script_config(int processes, config::Backend backend) {
  config::RunConfig config;
  config.file_name = "run.yaml";
  config.config_directory = "/data/digits";
  config.run = {config::EntryScript{"train.py"}, from_line(1, 15, "entry_script: train.py")};
  config.script_params.push_back(
      {config::ScriptParam{"--regularization", "0.8"}, from_line(3, 3, "  --regularization: 0.8")});
  config.process_count_per_node = {
      processes, from_line(4, 25, "process_count_per_node: " + std::to_string(processes))};
  config.distributed_backend = {
      backend, from_line(5, 22, "distributed_backend: " + config::to_string(backend))};
  return config;
}

inline PlanInputs inputs_for(topology::NodeInventory node) {
  PlanInputs inputs;
  inputs.nodes.push_back(std::move(node));
  inputs.mpirun = MpirunIdentity{"/usr/bin/mpirun", "4.1.4", 4, 1, true};
  inputs.agent_executable = "/opt/muster/bin/muster-agent";
  inputs.caller_environment = {{"PATH", "/usr/bin:/bin"}};
  inputs.current_directory = "/data/here";
  return inputs;
}

}  // namespace muster::plan
