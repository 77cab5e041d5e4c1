"""plan -> rankfile -> mpirun's own map, on machines that are not there: mpirun is shown the topology
file that the plan was made of, and must put every rank on exactly the planned cores.

MUSTER_RANKFILE_MACHINES=all takes every machine of tests/data/topologies and
more counts.
"""

import json
import os
import re
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import muster_test
from muster_test import MPIRUN, MusterTest, SOURCE_DIR, needs_mpirun

TOPOLOGIES = SOURCE_DIR / "tests/data/topologies"
ALL = os.environ.get("MUSTER_RANKFILE_MACHINES") == "all"
# A few for each kind of numbering: siblings far apart, NUMA nodes in PCI order, sparse numbers, a
# cpuset that leaves some cores, some CPUs offline.
MACHINES = sorted(path.stem for path in TOPOLOGIES.glob("*.xml")) if ALL else [
    "dgx-a100-8x16", "nd-a100-v4", "sparse-ids", "cpuset-2x4", "offline-2x4", "laptop-4c8t"]
COUNTS = [1, 2, 3, 4, 5, 7, 8, 16] if ALL else [2, 8]


def parse_cpus(text):
    cpus = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def bits_of(mask):
    """OS numbers of "0x000000ff,0xff000000": words of 32 bits, the most significant first."""
    value = 0
    for word in mask.split(","):
        value = value << 32 | int(word or "0", 16)
    return {bit for bit in range(value.bit_length()) if value >> bit & 1}


def cores_of(machine):
    """The CPUs of each core as mpirun numbers them: those that the cpuset of the file leaves."""
    root = ElementTree.parse(TOPOLOGIES / f"{machine}.xml").getroot()
    top = root.find("object")
    allowed = bits_of(top.get("allowed_cpuset"))
    cores = []
    for each in top.iter("object"):
        if each.get("type") != "Core":
            continue
        usable = bits_of(each.get("cpuset")) & allowed
        if usable:
            cores.append(usable)
    return cores


@needs_mpirun
class RoundTrip(MusterTest):
    def plan(self, machine, count):
        """None where the machine has too few cores."""
        result = self.run_muster(
            ["plan", "--topology", TOPOLOGIES / f"{machine}.xml", "--json", "-n", count,
             "--backend", "mpi", "--set", "resources.binding=rankfile", "--", "true"])
        if result.code == 69 and "so that no rank has a core of its own" in result.stderr:
            return None
        self.assert_code(result, 0)
        return json.loads(result.stdout)

    def map_of(self, machine, rankfile, count):
        """{rank: logical cores} as Open MPI 4.1's mpirun prints it before it starts anybody; None
        for a rank that has the whole machine, which mpirun calls unbound.

        Nobody is started then: no CPU of that machine need be here, and how that ends says nothing.
        """
        path = self.directory / "rankfile"
        path.write_text(rankfile, encoding="utf-8")
        environment = self.environment({
            "HWLOC_XMLFILE": str(TOPOLOGIES / f"{machine}.xml"),
            "OMPI_MCA_orte_rankfile": "/dev/stdin", "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})
        with open(path, encoding="utf-8") as stdin:
            done = subprocess.run(
                [MPIRUN, "-np", str(count), "--host", f"localhost:{count}", "--stdin", "none",
                 "--mca", "odls_base_num_threads", "0", "--display-map", "true"],
                stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=60, env=environment, cwd=self.work_dir, check=False)
        found = {}
        # "socket 0[core 4[hwt 0]], …:[././././B/B/./.][./././.]": the list is cut when it is long,
        # the picture after it never is.  It has a field for each core, of one mark a thread.
        for rank, bound in re.findall(r"Process rank: (\d+) Bound: (.*)", done.stdout):
            picture = bound.rpartition(":")[2].strip("[]").replace("][", "/").split("/")
            cores = {core for core, marks in enumerate(picture) if "B" in marks}
            found.setdefault(int(rank), None if bound.strip() == "UNBOUND" else cores)
        self.assertEqual(sorted(found), list(range(count)), done.stdout)
        return found

    def test_mpirun_puts_every_rank_on_the_planned_cores(self):
        version = subprocess.run([MPIRUN, "--version"], stdout=subprocess.PIPE, text=True,
                                 check=False).stdout
        if "(Open MPI) 4." not in version:
            self.skipTest(f"the map of another mpirun: {version.splitlines()[:1]}")
        compared = 0
        for machine in MACHINES:
            if not (TOPOLOGIES / f"{machine}.xml").exists():
                self.fail(f"no {machine} in {TOPOLOGIES}")
            cores = cores_of(machine)
            for count in COUNTS:
                with self.subTest(machine=machine, count=count):
                    plan = self.plan(machine, count)
                    if plan is None:
                        self.assertGreater(count, len(cores))
                        continue
                    found = self.map_of(machine, plan["mpirun"]["rankfile"], count)
                    for rank in plan["ranks"]:
                        numbers = found[rank["rank"]]
                        if numbers is None:
                            numbers = range(len(cores))
                        cpus = set().union(*(cores[core] for core in numbers))
                        self.assertEqual(cpus, parse_cpus(rank["cpuset"]), f"rank {rank['rank']}")
                    compared += 1
        self.assertGreater(compared, len(MACHINES))


class Refusals(MusterTest):
    def refused(self, code, *options, config=""):
        args = ["plan", "--topology", TOPOLOGIES / "laptop-4c8t.xml", "--set",
                "resources.binding=rankfile", *options]
        if config:
            path = self.work_dir / "run.yaml"
            path.write_text(config, encoding="utf-8")
            result = self.run_muster([*args, path])
        else:
            result = self.run_muster([*args, "--", "true"])
        self.assert_code(result, code)
        return result.stderr

    def test_without_mpirun_nobody_reads_a_rankfile(self):
        said = self.refused(65, "-n", "2", "--backend", "direct")
        self.assertIn("cannot bind by rankfile: distributed_backend is direct", said)
        self.assertIn("set distributed_backend to mpi, or resources.binding to agent", said)

    @needs_mpirun
    def test_more_ranks_than_cores_have_none_of_their_own(self):
        said = self.refused(69, "-n", "5", "--backend", "mpi")
        self.assertIn("5 ranks are more than 4 cores of laptop-4c8t", said)


if __name__ == "__main__":
    muster_test.main()
