"""Where ranks run is read back from the kernel at their start and once more later; what differs from
the plan is told.  And a plan that is made inside a narrower mask, cpuset or quota stays inside."""

import json
import os
import time
import unittest

from muster_test import MusterTest, MPIRUN, PYTHON, ROUNDS, main, program, wait_until

CPUS = sorted(os.sched_getaffinity(0))
SOON = {"MUSTER_CHECK_PLACEMENT_AFTER": "400ms"}
NARROW = f"import os; os.sched_setaffinity(0, {{{CPUS[0]}}})"
STAY = "import time; open('ready', 'w').close(); time.sleep(60)"
LATE_THREAD = f"""
import os, threading, time
def pinned():
    os.sched_setaffinity(threading.get_native_id(), {{{CPUS[0]}}})
    {STAY}
threading.Thread(target=pinned, daemon=True).start()
time.sleep(60)
"""
needs_two_cpus = unittest.skipUnless(len(CPUS) > 1, "needs two CPUs")
BACKENDS = ["direct"] + (["mpi"] if MPIRUN else [])


class PlacementCheck(MusterTest):
    def status(self, run):
        result = self.run_muster(["status", "--json", str(run.run_directory)])
        return json.loads(result.stdout) if result.code == 0 else {"ranks": []}  # just beginning

    def differing(self, run, rank=0):
        """What `muster status` says of that rank, once it says something."""
        def told():
            self.assertIsNone(run.process.poll(), run.output())
            ranks = self.status(run)["ranks"] if run.run_directory else []
            return rank < len(ranks) and ranks[rank].get("placement_differences")
        return wait_until(told, 60, "a difference")

    def start(self, words, *options, env=None):
        return self.start_muster(["run", *options, "--", *words], env={**SOON, **(env or {})})

    def end(self, run):
        self.run_muster(["cancel", "--now", str(run.run_directory)])
        return run.wait()

    def check(self, words, pattern, *options, env=None):
        run = self.start(words, *options, env=env)
        told = self.differing(run)
        self.assertRegex(told[0], pattern)
        self.assertEqual(len(told), 1, told)
        text = self.run_muster(["status", str(run.run_directory)]).stdout
        self.assertIn(f"! rank 0: {told[0]}", text)
        result = self.end(run)
        self.assertIn(f"warning: rank 0: {told[0]}", result.stderr)
        rank = result.run_json["attempts"][0]["ranks"][0]
        self.assertEqual(rank["placement_differences"], told)
        self.assertGreaterEqual(len(rank["placement_seen"]), 2, rank)
        events = [json.loads(line) for line in
                  (result.run_directory / "events.jsonl").read_text(encoding="utf-8").splitlines()]
        self.assertEqual([each["difference"] for each in events
                          if each["event"] == "placement_differs"], told)

    @needs_two_cpus
    def test_a_program_that_narrows_its_own_mask_is_told(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                self.check([PYTHON, "-c", f"{NARROW}; {STAY}"],
                           rf"^process \d+ \(python3\) may use CPU {CPUS[0]} only, planned \S+; "
                           "the program, a library", "--backend", backend)

    @needs_two_cpus
    def test_a_rank_that_is_not_bound_may_be_narrowed_too(self):
        self.check([PYTHON, "-c", f"{NARROW}; {STAY}"], r"may use CPU \d+ only, at its start \S+; ",
                   "--backend", "mpi" if MPIRUN else "direct", "--set", "resources.binding=none")

    @needs_two_cpus
    def test_a_child_that_does_is_named(self):
        self.check(["sh", "-c", f"{PYTHON} -c '{NARROW}; {STAY.replace(chr(39), chr(34))}'; true"],
                   r"^process \d+ \(python3\) may use")

    @needs_two_cpus
    def test_a_thread_that_does_so_late_is_named(self):
        self.check([PYTHON, "-c", LATE_THREAD], r"^thread \d+ \(\S+\) of process \d+ may use")

    @needs_two_cpus
    def test_taskset_in_the_command_is_what_did_it(self):
        self.check(["taskset", "-c", str(CPUS[0]), "sleep", "60"],
                   r"\(sleep\) may use .*; `taskset` in the command does this$")

    @needs_two_cpus
    def test_a_variable_that_pins_threads_is_named(self):
        self.check([PYTHON, "-c", f"{NARROW}; {STAY}"], r"with OMP_PROC_BIND set may do this$",
                   env={"OMP_PROC_BIND": "true"})

    @needs_two_cpus
    def test_many_ranks_that_do_the_same_are_told_of_once(self):
        cpus = ", ".join(map(str, CPUS))
        words = [PYTHON, "-c", "import os; mine = os.sched_getaffinity(0); "
                 f"os.sched_setaffinity(0, {{[{cpus}][0]}} if mine != {{{CPUS[0]}}} else "
                 f"{{{CPUS[1]}}}); {STAY}"]
        run = self.start(words, "-n", "2", "--backend", "direct")
        self.differing(run, 0)
        self.differing(run, 1)
        result = self.end(run)
        told = [line for line in result.stderr.splitlines() if "may use" in line]
        self.assertEqual(len(told), 1, result)
        self.assertRegex(told[0], r"warning: ranks 0, 1, for example rank 0: process \d+")

    @needs_two_cpus
    def test_zero_looks_no_more_and_what_is_no_time_is_told(self):
        words = [PYTHON, "-c", f"{NARROW}; import time; time.sleep(1)"]
        for given in ("0", "abc", "-1"):
            result = self.run_muster(["run", "--backend", "direct", "--", *words],
                                     env={"MUSTER_CHECK_PLACEMENT_AFTER": given})
            self.assert_code(result, 0)
            self.assertEqual(result.stderr.count("warning"), 0 if given == "0" else 1, result)
            if given != "0":
                self.assertIn(f"MUSTER_CHECK_PLACEMENT_AFTER is `{given}`", result.stderr)
            rank = result.run_json["attempts"][0]["ranks"][0]
            self.assertEqual(len(rank["placement_seen"]), 1, rank)

    def test_a_run_as_planned_says_nothing_more(self):
        for backend in BACKENDS:
            for _ in range(ROUNDS):
                result = self.run_muster(["run", "-n", "1", "--backend", backend, "--",
                                          "sleep", "1"], env=SOON)
                self.assert_code(result, 0)
                self.assertNotIn("warning", result.stderr)
                rank = result.run_json["attempts"][0]["ranks"][0]
                self.assertEqual(rank["placement_differences"], [])
                self.assertEqual([seen["cpus"] for seen in rank["placement_seen"]],
                                 [rank["cpuset"]] * 2)


class GpuCheck(MusterTest):
    """NVML as a library of tests/programs has it; a rank notes itself as a user of GPU 0."""

    def start(self, device_of_rank):
        script = self.directory / "gpus"
        script.write_text(f"log {self.directory}/nvml.log\n" + "".join(f"gpu GPU-{name} 00000000:0{number}:00.0 Test 16 {number}\n"
                                  for number, name in enumerate("ab", 1)), encoding="utf-8")
        words = ["sh", "-c", f"echo process {device_of_rank} $$ 1 >> \"$FAKE_NVML_SCRIPT\"; "
                 "exec sleep 60"]
        return self.start_muster(
            ["run", "-n", "2", "--backend", "direct", "--", *words],
            env={"MUSTER_CHECK_PLACEMENT_AFTER": "1s", "FAKE_NVML_SCRIPT": script,
                 "MUSTER_NVML_LIBRARY": program("libfake_nvml.so")})

    def seen(self, device_of_rank):
        """What is told of each rank, once their GPUs have been asked for."""
        run = self.start(device_of_rank)
        def text_of(path):
            return path.read_text(encoding="utf-8") if path.exists() else ""
        wait_until(lambda: run.run_directory and
                   text_of(run.run_directory / "events.jsonl").count('"rank_started"') == 2, 60,
                   "the start of two ranks")
        log = self.directory / "nvml.log"
        before = text_of(log).count("shutdown")  # by whoever looked before the start
        wait_until(lambda: text_of(log).count("shutdown") > before, 60, "the question for users")
        time.sleep(0.5)  # until the launcher has read the answer, which nothing tells
        self.run_muster(["cancel", "--now", str(run.run_directory)])
        return run.wait().run_json["attempts"][0]["ranks"]

    def test_a_rank_that_uses_a_gpu_of_another_is_told(self):
        first, second = self.seen("0")
        self.assertEqual(first["placement_differences"], [])
        self.assertEqual(first["placement_seen"][-1]["gpus"], ["GPU-a"])
        self.assertEqual(second["placement_differences"],
                         ["it uses GPU 0 (GPU-a), planned GPU 1 (GPU-b); a program that does not "
                          "choose its GPU by LOCAL_RANK does this"])

    def test_ranks_that_use_their_own_are_not(self):
        ranks = self.seen("$LOCAL_RANK")
        self.assertEqual([rank["placement_differences"] for rank in ranks], [[], []])
        self.assertEqual([rank["placement_seen"][-1]["gpus"] for rank in ranks],
                         [["GPU-a"], ["GPU-b"]])


class InsideLimits(MusterTest):
    """The launcher itself is held in less than the machine."""

    def ranks_of(self, prefix, *options, backend="direct"):
        result = self.run_muster(["run", "--backend", backend, *options, "--", "sh", "-c",
                                  "sed -n 's/Cpus_allowed_list:[[:space:]]*//p' /proc/self/status"],
                                 prefix=prefix)
        self.assert_code(result, 0)
        plan = json.loads((result.run_directory / "plan.json").read_text(encoding="utf-8"))
        return [(rank["cpuset"], result.rank_bytes(rank["rank"]).decode().strip())
                for rank in plan["ranks"]]

    def assert_on(self, pairs, allowed):
        for planned, seen in pairs:
            self.assertEqual(planned, seen)
            self.assertEqual(planned, allowed)

    @needs_two_cpus
    def test_ranks_stay_in_the_mask_that_taskset_gives(self):
        for backend in BACKENDS:
            for cpu in (CPUS[0], CPUS[-1]):
                with self.subTest(backend=backend, cpu=cpu):
                    self.assert_on(self.ranks_of(("taskset", "-c", str(cpu)), backend=backend),
                                   str(cpu))

    def cgroup(self, controller):
        """A cgroup (version 1) of this test's own; skips where none can be made."""
        parent = f"/sys/fs/cgroup/{controller}"
        try:
            with open("/proc/self/cgroup", encoding="utf-8") as file:
                for line in file:
                    _, controllers, path = line.strip().split(":", 2)
                    if controller in controllers.split(",") and os.path.isdir(parent + path):
                        parent += path.rstrip("/")
            made = f"{parent}/muster-test-{self.mark[:8]}"
            os.mkdir(made)
        except OSError as error:
            raise unittest.SkipTest(f"no {controller} cgroup can be made: {error}") from None
        self.addCleanup(self.remove_cgroup, made)
        return made

    @staticmethod
    def remove_cgroup(path):
        def gone():
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass
            except OSError:
                return False
            return True
        wait_until(gone, 10, "the end of " + path)

    def set_in(self, group, name, value):
        try:
            with open(f"{group}/{name}", "w", encoding="utf-8") as file:
                file.write(str(value))
        except OSError as error:
            raise unittest.SkipTest(f"cannot write {name} of a cgroup: {error}") from None

    @staticmethod
    def entering(group):
        return ("sh", "-c", f"echo $$ > {group}/cgroup.procs && exec \"$@\"", "sh")

    @needs_two_cpus
    def test_ranks_stay_in_a_cpuset(self):
        group = self.cgroup("cpuset")
        with open(f"{os.path.dirname(group)}/cpuset.mems", encoding="utf-8") as file:
            mems = file.read().strip()
        self.set_in(group, "cpuset.mems", mems)
        self.set_in(group, "cpuset.cpus", CPUS[-1])
        for backend in BACKENDS:
            with self.subTest(backend):
                self.assert_on(self.ranks_of(self.entering(group), backend=backend),
                               str(CPUS[-1]))

    def test_a_quota_leaves_the_cores_and_is_told(self):
        group = self.cgroup("cpu")
        self.set_in(group, "cpu.cfs_quota_us", 100_000)
        pairs = self.ranks_of(self.entering(group))
        for planned, seen in pairs:
            self.assertEqual(planned, seen)
        topo = self.run_muster(["topo", "--json"], prefix=self.entering(group))
        self.assertEqual(json.loads(topo.stdout)["cpu_quota"], 1)


if __name__ == "__main__":
    main()
