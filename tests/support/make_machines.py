#!/usr/bin/python3
"""Writes hwloc XML (version 2) for the machines described in tests/data/machines.

    make_machines.py MACHINES TOPOLOGIES            writes TOPOLOGIES/NAME.xml for MACHINES/NAME.json
    make_machines.py --check MACHINES TOPOLOGIES    ends with 1 when a file there is another

hwloc's own synthetic descriptions know no devices, no distances and no offline CPUs, so the text is
written here; a test loads every file with hwloc.  Same description, same bytes.

A description says what a machine has:

    title, evidence         what it is, and where its numbers are from
    packages, numa_per_package, cores_per_numa, smt
    pus                     "linux" (hardware threads of a core are N apart), "compact" (they are
                            neighbours), or a list of OS indexes that cores take in turn
    cores_per_l3            may be more than a NUMA node has: the cache is then around the nodes
    numa_ids, memory_gib, distances, memory_only   (NUMA nodes without CPUs)
    offline, disallowed, disallowed_memory         Linux lists
    gpus, nics, other_devices   bus_id, numa (-1: under the machine, as nobody could tell) or l3 (it
                            hangs off that cache), upstream (bridges above it, outermost first)
    osdevs                  false: the file names no GPU, as of a hwloc without NVML
    flat                    true: once more as NAME-flat, every device under the machine
    expected                rows of placement: read by tests, not here
"""

import json
import sys
from pathlib import Path

HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE topology SYSTEM "hwloc2.dtd">\n'


def numbers(text):
    """The numbers of a Linux list: "0-2,8"."""
    found = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def bitmap(members):
    """As hwloc writes a set: words of 32 bits, the highest first, those of zeros empty."""
    bits = sum(1 << member for member in set(members))
    words = []
    while bits:
        words.append(f"0x{bits & 0xffffffff:08x}" if bits & 0xffffffff or not words else "")
        bits >>= 32
    return ",".join(reversed(words)) or "0x0"


class Machine:
    """A description with its numbers worked out."""

    def __init__(self, given, flat=False):
        self.given = given
        self.name = given["name"] + ("-flat" if flat else "")
        self.flat = flat
        self.packages = given["packages"]
        self.numa_count = self.packages * given["numa_per_package"]
        self.numa_ids = given.get("numa_ids", list(range(self.numa_count)))
        self.cores_per_numa = given["cores_per_numa"]
        self.core_count = self.numa_count * self.cores_per_numa
        self.offline = set(numbers(given.get("offline", "")))
        self.memory_only = given.get("memory_only", [])
        self.pus = [self._pus_of(core) for core in range(self.core_count)]

    def _pus_of(self, core):
        smt, rule = self.given["smt"], self.given["pus"]
        if rule == "linux":
            return [core + thread * self.core_count for thread in range(smt)]
        line = numbers(rule) if rule != "compact" else range(self.core_count * smt)
        return list(line[core * smt:(core + 1) * smt])

    def present(self, cores):
        return [pu for core in cores for pu in self.pus[core] if pu not in self.offline]

    def cores_of_numa(self, numa):
        return range(numa * self.cores_per_numa, (numa + 1) * self.cores_per_numa)

    def devices(self):
        """(device, its OSDev lines) in the order of the description."""
        given = self.given
        for index, gpu in enumerate(given.get("gpus", [])):
            yield {"pci": given["gpu_pci"], "class": given["gpu_class"], **gpu}, self._gpu_names(
                index, gpu)
        for nic in given.get("nics", []):
            yield {"pci": "15b3:101b", "class": "0207", **nic}, self._nic_names(nic)
        for other in given.get("other_devices", []):
            yield other, []

    def _gpu_names(self, index, gpu):
        if not self.given.get("osdevs", True):
            return []
        backend = "RSMI" if self.given["gpu_pci"].startswith("1002") else "NVML"
        infos = [("Backend", backend), ("GPUVendor", {"RSMI": "AMD"}.get(backend, "NVIDIA Corporation")),
                 ("GPUModel", self.given["gpu_model"])]
        if backend == "NVML":
            infos.append(("NVIDIAUUID", gpu["uuid"]))
        return [({"name": f"{backend.lower()}{index}", "subtype": backend, "osdev_type": "1"}, infos)]

    def _nic_names(self, nic):
        names = []
        if nic.get("interface"):
            names.append(({"name": nic["interface"], "osdev_type": "2"}, []))
        if nic["kind"] != "Ethernet":
            state = {"active": "4", "down": "1"}[nic.get("state", "active")]
            names.append(({"name": nic["name"], "osdev_type": "3"}, [("Port1State", state)]))
        return names


class Writer:
    """XML of one machine, line by line; every object gets the next gp_index."""

    def __init__(self, machine):
        self.machine = machine
        self.lines = []
        self.objects = 0

    def put(self, depth, text):
        self.lines.append("  " * depth + text)

    def open(self, depth, kind, attributes, sets=None):
        self.objects += 1
        words = [f'type="{kind}"']
        words += [f'{key}="{attributes[key]}"' for key in attributes if key == "os_index"]
        for name, (inside, complete) in (sets or {}).items():
            words += [f'{name}="{bitmap(inside)}"', f'complete_{name}="{bitmap(complete)}"']
        words.append(f'gp_index="{self.objects}"')
        words += [f'{key}="{attributes[key]}"' for key in attributes if key != "os_index"]
        self.put(depth, f'<object {" ".join(words)}>')

    def close(self, depth):
        self.put(depth, "</object>")

    def sets(self, cores, nodes):
        machine = self.machine
        everything = [pu for core in cores for pu in machine.pus[core]]
        return {"cpuset": (machine.present(cores), everything), "nodeset": (nodes, nodes)}

    def write(self):
        machine, given = self.machine, self.machine.given
        nodes = machine.numa_ids + [node["id"] for node in machine.memory_only]
        self.put(0, '<topology version="2.0">')
        allowed_cpus = set(machine.present(range(machine.core_count))) - set(
            numbers(given.get("disallowed", "")))
        allowed_nodes = set(nodes) - set(numbers(given.get("disallowed_memory", "")))
        self.open(1, "Machine", {"os_index": 0, "allowed_cpuset": bitmap(allowed_cpus),
                                 "allowed_nodeset": bitmap(allowed_nodes)},
                  self.sets(range(machine.core_count), nodes))
        self.put(2, f'<info name="HostName" value="{machine.name}"/>')
        for package in range(machine.packages):
            self.package(package)
        self.io(2, lambda device: machine.flat or device.get("numa", 0) == -1)
        self.close(1)
        self.distances()
        for support in ("discovery.pu", "discovery.numa", "discovery.numa_memory"):
            self.put(1, f'<support name="{support}"/>')
        self.put(0, "</topology>")
        return HEADER + "\n".join(self.lines) + "\n"

    def package(self, package):
        machine = self.machine
        per_package = machine.given["numa_per_package"]
        numas = range(package * per_package, (package + 1) * per_package)
        cores = [core for numa in numas for core in machine.cores_of_numa(numa)]
        memory_only = [node for node in machine.memory_only if node["package"] == package]
        nodes = [machine.numa_ids[numa] for numa in numas] + [node["id"] for node in memory_only]
        self.open(2, "Package", {"os_index": package}, self.sets(cores, nodes))
        if per_package == 1:
            self.numa_node(3, numas[0])
        for node in memory_only:
            self.memory(3, node["id"], [], node["gib"], ' subtype="GPUMemory"')
        wide_cache = machine.given["cores_per_l3"] > machine.cores_per_numa
        if wide_cache:
            self.open_cache(3, cores, nodes)
        depth = 4 if wide_cache else 3
        for numa in numas:
            if per_package == 1:
                self.caches(depth, numa)
                self.io(depth, self.hangs_off_numa(numa))
                continue
            self.open(depth, "Group", {"kind": 10, "subkind": 0},
                      self.sets(machine.cores_of_numa(numa), [machine.numa_ids[numa]]))
            self.numa_node(depth + 1, numa)
            self.caches(depth + 1, numa)
            self.io(depth + 1, self.hangs_off_numa(numa))
            self.close(depth)
        if wide_cache:
            self.close(3)
        self.close(2)

    def hangs_off_numa(self, numa):
        return lambda device: (not self.machine.flat and "l3" not in device
                               and device["numa"] == self.machine.numa_ids[numa])

    def numa_node(self, depth, numa):
        memory = self.machine.given["memory_gib"]
        self.memory(depth, self.machine.numa_ids[numa], self.machine.cores_of_numa(numa), memory)

    def memory(self, depth, os_index, cores, gib, subtype=""):
        sets = self.sets(cores, [os_index])
        self.open(depth, "NUMANode", {"os_index": os_index, "local_memory": gib << 30}, sets)
        if subtype:
            self.lines[-1] = self.lines[-1][:-1] + subtype + ">"
        self.put(depth + 1, f'<page_type size="4096" count="{gib << 18}"/>')
        self.close(depth)

    def open_cache(self, depth, cores, nodes):
        self.open(depth, "L3Cache", {"cache_size": 32 << 20, "depth": 3, "cache_linesize": 64,
                                     "cache_associativity": 16, "cache_type": 0},
                  self.sets(cores, nodes))

    def caches(self, depth, numa):
        machine = self.machine
        cores = list(machine.cores_of_numa(numa))
        per_cache = machine.given["cores_per_l3"]
        if per_cache == 0 or per_cache > machine.cores_per_numa:
            self.cores(depth, cores, numa)
            return
        for first in range(0, len(cores), per_cache):
            of_cache = cores[first:first + per_cache]
            if not machine.present(of_cache):
                continue
            cache = of_cache[0] // per_cache
            self.open_cache(depth, of_cache, [machine.numa_ids[numa]])
            self.cores(depth + 1, of_cache, numa)
            self.io(depth + 1, lambda device: not machine.flat and device.get("l3") == cache)
            self.close(depth)

    def cores(self, depth, cores, numa):
        machine = self.machine
        nodes = ([machine.numa_ids[numa]],) * 2
        for core in cores:
            present = machine.present([core])
            if not present:
                continue
            self.open(depth, "Core", {"os_index": core}, self.sets([core], [machine.numa_ids[numa]]))
            for pu in present:
                self.open(depth + 1, "PU", {"os_index": pu},
                          {"cpuset": ([pu], [pu]), "nodeset": nodes})
                self.lines[-1] = self.lines[-1][:-1] + "/>"
            self.close(depth)

    def io(self, depth, belongs):
        """The devices that hang off one object: a host bridge for each way down."""
        ways = {}
        for device, names in self.machine.devices():
            if belongs(device):
                upstream = () if self.machine.flat else tuple(device.get("upstream", ()))
                domain = device["bus_id"].split(":")[0]
                ways.setdefault((upstream[:1] or domain, domain), []).append(
                    (device, names, upstream))
        for (_, domain), devices in ways.items():
            self.open(depth, "Bridge", {"bridge_type": "0-1", "depth": 0,
                                        "bridge_pci": f"{domain}:[00-ff]"})
            self.below(depth + 1, devices, 0)
            self.close(depth)

    def below(self, depth, devices, level):
        done = []
        for device, names, upstream in devices:
            if len(upstream) == level:
                self.device(depth, device, names)
                continue
            bridge = upstream[level]
            if bridge in done:
                continue
            done.append(bridge)
            bus = bridge.split(":")
            self.open(depth, "Bridge", {
                "bridge_type": "1-1", "depth": level + 1, "bridge_pci": f"{bus[0]}:[{bus[1]}-ff]",
                "pci_busid": bridge, "pci_type": "0604 [11f8:4028] [11f8:4028] 00",
                "pci_link_speed": "0.000000"})
            self.below(depth + 1, [way for way in devices
                                   if len(way[2]) > level and way[2][level] == bridge], level + 1)
            self.close(depth)

    def device(self, depth, device, names):
        self.open(depth, "PCIDev", {
            "pci_busid": device["bus_id"],
            "pci_type": f'{device["class"]} [{device["pci"]}] [0000:0000] 00',
            "pci_link_speed": "31.507692"})
        for attributes, infos in names:
            self.open(depth + 1, "OSDev", attributes)
            for name, value in infos:
                self.put(depth + 2, f'<info name="{name}" value="{value}"/>')
            self.close(depth + 1)
        self.close(depth)

    def distances(self):
        rows = self.machine.given.get("distances")
        if not rows:
            return
        nodes = self.machine.numa_ids + [node["id"] for node in self.machine.memory_only]
        nodes = " ".join(map(str, nodes[:len(rows)])) + " "
        values = " ".join(str(value) for row in rows for value in row) + " "
        self.put(1, f'<distances2 type="NUMANode" nbobjs="{len(rows)}" kind="5" '
                    'name="NUMALatency" indexing="os">')
        self.put(2, f'<indexes length="{len(nodes)}">{nodes}</indexes>')
        self.put(2, f'<u64values length="{len(values)}">{values}</u64values>')
        self.put(1, "</distances2>")


def topologies(machines):
    """(file name, text) for every description, and its flat twin."""
    for path in sorted(Path(machines).glob("*.json")):
        given = json.loads(path.read_text())
        given["name"] = path.stem
        for flat in (False, True) if given.get("flat") else (False,):
            machine = Machine(given, flat)
            yield machine.name + ".xml", Writer(machine).write()


def main(arguments):
    check = arguments[:1] == ["--check"]
    arguments = arguments[check:]
    if len(arguments) != 2:
        sys.exit(__doc__)
    wrong = []
    for name, text in topologies(arguments[0]):
        path = Path(arguments[1]) / name
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(name)
    for name in wrong:
        print(f"{name} is not what its description in {arguments[0]} makes: "
              f"run tests/support/make_machines.py {arguments[0]} {arguments[1]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
