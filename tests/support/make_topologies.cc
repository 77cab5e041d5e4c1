// Writes the hwloc XML files of tests/data/topologies: make_topologies DIRECTORY.
//
// Each machine is a row: a synthetic description, then CPUs that are taken away (as if offline) or
// not allowed (as by a cpuset).  A new machine is a new row; tests pick up every file that is
// there.
#include <cstdio>
#include <string>
#include <vector>

#include <hwloc.h>

namespace {

struct Machine {
  const char* name;
  std::string synthetic;
  const char* offline = "";     // these CPUs are not there, their NUMA node stays
  const char* disallowed = "";  // these are there, but not ours
};

// "0,N,1,N+1,…": hardware threads numbered as Linux does, siblings N apart.
std::string siblings(int cores) {
  std::string indexes;
  for (int core = 0; core < cores; ++core) {
    if (core > 0) indexes += ',';
    indexes += std::to_string(core) + ',' + std::to_string(core + cores);
  }
  return indexes;
}

std::vector<Machine> machines() {
  const std::string sparse =
      "pack:2 [numa(memory=64GB indexes=0,8)] l3:1 core:4 "
      "pu:1(indexes=8,12,16,20,40,44,48,52)";
  return {
      {"laptop-4c8t", "pack:1 [numa(memory=16GB)] l3:1 core:4 pu:2(indexes=" + siblings(4) + ")"},
      {"server-2x16", "pack:2 [numa(memory=64GB)] l3:1 core:16 pu:1"},
      {"numa-4x6", "pack:2 group:2 [numa(memory=32GB)] l3:2 core:3 pu:1"},
      {"dgx-a100-8x16",
       "pack:2 group:4 [numa(memory=128GB)] l3:4 core:4 pu:2(indexes=" + siblings(128) + ")"},
      {"odd-3x5", "pack:1 group:3 [numa(memory=8GB)] l3:1 core:5 pu:1"},
      {"single-core", "pack:1 [numa(memory=1GB)] l3:1 core:1 pu:1"},
      {"cpuset-2x4", "pack:2 [numa(memory=32GB)] l3:1 core:4 pu:2(indexes=" + siblings(8) + ")", "",
       "0,3-8,11-12"},
      {"cpuless-numa", "pack:2 [numa(memory=32GB)] l3:1 core:4 pu:1", "4-7"},
      {"offline-2x4", "pack:2 [numa(memory=32GB)] l3:1 core:4 pu:1", "1,6"},
      {"sparse-ids", sparse},
  };
}

bool write_machine(const Machine& machine, const std::string& directory) {
  hwloc_topology_t topology = nullptr;
  hwloc_topology_init(&topology);
  hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_ALL);
  hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
  bool ok = hwloc_topology_set_synthetic(topology, machine.synthetic.c_str()) == 0 &&
            hwloc_topology_load(topology) == 0;
  hwloc_bitmap_t minus = hwloc_bitmap_alloc();
  hwloc_bitmap_t cpus = hwloc_bitmap_dup(ok ? hwloc_topology_get_topology_cpuset(topology) : minus);
  if (ok && *machine.offline != '\0') {
    hwloc_bitmap_list_sscanf(minus, machine.offline);
    hwloc_bitmap_andnot(cpus, cpus, minus);
    ok = hwloc_topology_restrict(topology, cpus, 0) == 0;
  }
  if (ok && *machine.disallowed != '\0') {
    hwloc_bitmap_list_sscanf(minus, machine.disallowed);
    hwloc_bitmap_andnot(cpus, cpus, minus);
    ok = hwloc_topology_allow(topology, cpus, nullptr, HWLOC_ALLOW_FLAG_CUSTOM) == 0;
  }
  if (ok) {
    hwloc_obj_add_info(hwloc_get_root_obj(topology), "HostName", machine.name);
    const std::string path = directory + "/" + machine.name + ".xml";
    ok = hwloc_topology_export_xml(topology, path.c_str(), 0) == 0;
  }
  hwloc_bitmap_free(cpus);
  hwloc_bitmap_free(minus);
  hwloc_topology_destroy(topology);
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_topologies DIRECTORY\n");
    return 64;
  }
  for (const Machine& machine : machines()) {
    if (!write_machine(machine, argv[1])) {
      std::fprintf(stderr, "make_topologies: cannot make %s\n", machine.name);
      return 70;
    }
  }
  return 0;
}
