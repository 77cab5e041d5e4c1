"""Who binds, and what the kernel says afterwards: masks and memory policies of live ranks, read back
by the ranks themselves, with mpirun and without; sandboxes that forbid it; threads of OpenMP."""

import json
import os
import subprocess
import unittest

import muster_test
from muster_test import MPIRUN, MusterTest, PYTHON, needs_mpirun, program

BACKENDS = ["direct"] + (["mpi"] if MPIRUN else [])
POLICIES = {"preferred": (1, 5), "strict": (2,), "interleave": (3,), "none": (0,)}
CPUS = sorted(os.sched_getaffinity(0))
needs_two_cpus = unittest.skipIf(len(CPUS) < 2, "one CPU: every mask is the same")


def parse_cpus(text):
    cpus = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def set_mempolicy_works():
    """Whether this kernel and sandbox let a process have a memory policy at all."""
    probe = subprocess.run(
        [PYTHON, "-c",
         "import ctypes, sys\n"
         "libc = ctypes.CDLL(None, use_errno=True)\n"
         "mask = ctypes.c_ulong(1)\n"
         "sys.exit(libc.syscall(238, 1, ctypes.byref(mask), 65) != 0)"],
        check=False) if os.uname().machine == "x86_64" else None
    return probe is not None and probe.returncode == 0


class BindingTest(MusterTest):
    def probe(self, *options, backend="direct", ranks=2, env=None, prefix=()):
        """Result, plan and what each rank saw."""
        result = self.run_muster(
            ["run", "-n", ranks, "--backend", backend, "--console", "none", *options, "--",
             program("rank_probe")], env=env, prefix=prefix)
        self.assert_code(result, 0)
        plan = json.loads((result.run_directory / "plan.json").read_text(encoding="utf-8"))
        return result, plan, [json.loads(result.rank_bytes(rank)) for rank in range(ranks)]

    def assert_planned_cpus(self, plan, probes):
        for rank, probe in zip(plan["ranks"], probes):
            self.assertEqual(probe["affinity"], parse_cpus(rank["cpuset"]), rank)


class Binders(BindingTest):
    def test_ranks_read_back_what_was_planned(self):
        for backend in BACKENDS:
            for binding in ("agent", "rankfile", "none"):
                if binding == "rankfile" and backend != "mpi":
                    continue
                with self.subTest(backend=backend, binding=binding):
                    ranks = min(2, len(CPUS))
                    result, plan, probes = self.probe("--set", f"resources.binding={binding}",
                                                      backend=backend, ranks=ranks)
                    self.assert_planned_cpus(plan, probes)
                    if binding == "none":
                        self.assertEqual([probe["affinity"] for probe in probes], [CPUS] * ranks)
                    self.assertEqual([rank["binding_note"] for rank in
                                      result.run_json["attempts"][0]["ranks"]], [None] * ranks)

    @needs_two_cpus
    def test_inside_an_affinity_mask(self):
        for backend in BACKENDS:
            for binding in ("agent", "rankfile"):
                if binding == "rankfile" and backend != "mpi":
                    continue
                with self.subTest(backend=backend, binding=binding):
                    _, plan, probes = self.probe(
                        "--set", f"resources.binding={binding}", backend=backend, ranks=1,
                        prefix=["taskset", "-c", str(CPUS[-1])])
                    self.assert_planned_cpus(plan, probes)
                    self.assertEqual(probes[0]["affinity"], [CPUS[-1]])

    @needs_mpirun
    @needs_two_cpus
    def test_nothing_of_a_rankfile_reaches_the_ranks(self):
        result, plan, probes = self.probe("--set", "resources.binding=rankfile", backend="mpi")
        self.assertIn("rank 1=localhost slot=", plan["mpirun"]["rankfile"])
        for probe in probes:
            self.assertEqual([name for name in probe["environment"] if "rankfile" in name], [])
        self.assertEqual((result.run_directory / "mpirun.log").read_bytes(), b"")
        self.assert_runtime_empty()


class Memory(BindingTest):
    @unittest.skipUnless(set_mempolicy_works(), "set_mempolicy is not permitted here")
    def test_the_policy_is_what_was_asked_for(self):
        for backend in BACKENDS:
            for policy, modes in POLICIES.items():
                with self.subTest(backend=backend, policy=policy):
                    _, plan, probes = self.probe("--set", f"resources.memory_policy={policy}",
                                                 backend=backend, ranks=1)
                    planned = plan["ranks"][0]["memory_nodes"]
                    if policy != "none" and not planned:
                        self.skipTest("the NUMA nodes of this machine are unknown")
                    for probe in probes:
                        self.assertIn(probe["memory_policy"]["mode"], modes)
                        nodes = [] if policy == "none" else parse_cpus(planned)
                        self.assertEqual(probe["memory_policy"]["nodes"], nodes)


class Forbidden(BindingTest):
    def sandbox(self, error, *calls):
        tool = [program("under_seccomp"), "--errno", error, ",".join(calls), "--"]
        tried = subprocess.run([*tool, "true"], stderr=subprocess.PIPE, text=True, check=False)
        if tried.returncode != 0:
            self.skipTest(tried.stderr.strip())
        return tool

    @needs_two_cpus
    def test_ranks_run_unbound_with_one_warning_for_all(self):
        for error in ("EPERM", "ENOSYS"):
            for backend in BACKENDS:
                with self.subTest(error=error, backend=backend):
                    result, _, probes = self.probe(
                        backend=backend,
                        prefix=self.sandbox(error, "sched_setaffinity", "set_mempolicy"))
                    self.assertEqual([probe["affinity"] for probe in probes], [CPUS, CPUS])
                    notes = [line for line in result.stderr.splitlines() if "not permitted" in line]
                    self.assertEqual(len(notes), 1, f"\n{result}")
                    self.assertIn("ranks 0, 1: not bound: sched_setaffinity is not permitted here",
                                  notes[0].replace("0-1", "0, 1").replace("0 and 1", "0, 1"))
                    events = (result.run_directory / "events.jsonl").read_text(encoding="utf-8")
                    self.assertEqual(events.count("sched_setaffinity"), 1)


# Prints the main thread's mask before and after an OpenMP library is loaded and has run a loop.
OPENMP = """
import ctypes, json, os
before = sorted(os.sched_getaffinity(0))
gomp = ctypes.CDLL("libgomp.so.1")
threads = gomp.omp_get_max_threads()
print(json.dumps({"before": before, "after": sorted(os.sched_getaffinity(0)), "threads": threads}))
"""


def has_libgomp():
    return subprocess.run([PYTHON, "-c", 'import ctypes; ctypes.CDLL("libgomp.so.1")'],
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


@unittest.skipUnless(has_libgomp(), "no libgomp.so.1")
@needs_two_cpus
class Threads(BindingTest):
    def load_openmp(self, *options, env=None):
        result = self.run_muster(["run", "-n", "1", *options, "--", PYTHON, "-c", OPENMP], env=env)
        self.assert_code(result, 0)
        return result, json.loads(result.rank_bytes(0))

    def test_a_process_keeps_its_whole_mask(self):
        result, seen = self.load_openmp()
        self.assertEqual(seen["before"], CPUS)
        self.assertEqual(seen["after"], CPUS)
        self.assertEqual(result.run_json["warnings"], [], f"\n{result}")

    def test_threads_are_bound_when_asked(self):
        _, seen = self.load_openmp("--set", "resources.omp_binding=close")
        self.assertEqual(seen["before"], CPUS)
        self.assertLess(len(seen["after"]), len(CPUS))

    def test_an_inherited_setting_narrows_as_the_warning_says(self):
        for name, value in (("OMP_PROC_BIND", "true"), ("OMP_PLACES", "threads"),
                            ("GOMP_CPU_AFFINITY", str(CPUS[-1]))):
            with self.subTest(name=name):
                result, seen = self.load_openmp(env={name: value})
                self.assertEqual(len(seen["after"]), 1)
                self.assertIn(f"{name}={value} (the caller's environment)", result.stderr)

    def test_what_the_config_says_of_threads(self):
        _, seen = self.load_openmp("--set", "resources.threads=7", env={"OMP_NUM_THREADS": "3"})
        self.assertEqual(seen["threads"], 7)
        _, seen = self.load_openmp("--set", "resources.threads=keep", env={"OMP_NUM_THREADS": "3"})
        self.assertEqual(seen["threads"], 3)


if __name__ == "__main__":
    muster_test.main()
