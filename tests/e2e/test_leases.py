"""Two runs on one node: who says what it has, when, and what the next one does with it."""

import fcntl
import json
import os
import signal
import unittest

from muster_test import MUSTER, MusterTest, ROUNDS, main, needs_root, wait_until

CPUS = sorted(os.sched_getaffinity(0))
# One core each, until it is told to end.
WAITING = ("sh", "-c", "grep Cpus_allowed_list /proc/self/status; touch started.$MUSTER_RUN_ID; "
           "while [ ! -e end ]; do sleep 0.05; done")


class LeaseTest(MusterTest):
    def setUp(self):
        super().setUp()
        self.leases_dir = self.directory / "leases"

    def leases(self):
        """What the files say, whether anybody lives or not."""
        return {path.name: json.loads(path.read_text(encoding="utf-8"))
                for path in self.leases_dir.glob("lease-*.json")}

    def start(self, run_id, *options, words=WAITING, **how):
        """A run that waits for the file `end`; returns when its rank runs."""
        running = self.start_muster(["run", "--backend", "direct", "--run-id", run_id, *options,
                                     "--", *words], **how)
        wait_until(lambda: (self.work_dir / f"started.{run_id}").exists() or
                   running.process.poll() is not None, 60, "the start of " + run_id)
        return running

    def warning_of(self, run):
        """What it warns of, which may be printed a moment after its ranks have started."""
        wait_until(lambda: b"warning:" in run.output() and run.output().endswith(b"\n"), 60,
                   "a warning")
        return run.output().decode()

    def end(self, *runs):
        (self.work_dir / "end").touch()
        results = [run.wait() for run in runs]
        for result in results:
            self.assert_code(result, 0)
        return results

    def only_lease(self):
        leases = list(self.leases().values())
        self.assertEqual(len(leases), 1, leases)
        return leases[0]


class Leases(LeaseTest):
    def test_a_run_says_what_it_has_until_its_ranks_have_ended(self):
        run = self.start("run-a", "--set", "resources.cores_per_process=1")
        lease = self.only_lease()
        self.assertEqual(lease["run_id"], "run-a")
        self.assertEqual(lease["launcher_pid"], run.pid)
        plan = json.loads((self.runs_dir / "run-a/plan.json").read_text(encoding="utf-8"))
        self.assertEqual(lease["cpus"], plan["ranks"][0]["cpuset"])
        self.assertRegex(lease["since"], r"^2\d{3}-.*Z$")
        status = self.run_muster(["status", "run-a"])
        self.assertIn(f"  has        CPUs {lease['cpus']} of this node, leased since",
                      status.stdout)
        topo = self.run_muster(["topo"]).stdout
        self.assertRegex(topo, rf"leased\n +run +CPUs .*\n +run-a +{lease['cpus']} +- +process "
                               rf"{run.pid} +{lease['since']}\n")
        topo = json.loads(self.run_muster(["topo", "--format", "json"]).stdout)
        self.assertEqual(topo["leases"], [{"run_id": "run-a", "launcher_pid": run.pid,
                                           "cpus": lease["cpus"], "gpus": [],
                                           "since": lease["since"]}])
        self.end(run)
        self.assertNotIn("leased", self.run_muster(["topo"]).stdout)
        self.assertNotIn("leased", self.run_muster(["status", "run-a"]).stdout)
        self.assertEqual(self.leases(), {})

    def test_what_a_killed_launcher_left_is_removed_by_the_next_start(self):
        for round_number in range(ROUNDS):
            run = self.start(f"killed-{round_number}")
            run.send(signal.SIGKILL)
            run.process.wait()
            self.assert_nothing_left()
            self.assertEqual(self.only_lease()["run_id"], f"killed-{round_number}")
        result = self.run_muster(["run", "--", "true"])
        self.assert_code(result, 0)
        self.assertNotIn("warning", result.stderr)
        self.assertEqual(self.leases(), {})

    def test_a_run_that_wants_none_neither_takes_nor_reads(self):
        self.start("run-a")
        alone = self.start("run-b", "--set", "resources.lease=false")
        self.assertEqual(self.only_lease()["run_id"], "run-a")
        self.assertNotIn(b"run-a", alone.output())
        plan = json.loads((self.runs_dir / "run-b/plan.json").read_text(encoding="utf-8"))
        self.assertIn("lease", [each["subject"] for each in plan["reasons"]])

    def test_a_run_that_is_not_bound_has_nothing(self):
        run = self.start("run-a", "-n", str(len(CPUS) + 1))
        self.assertEqual(self.leases(), {})
        self.end(run)

    def test_a_run_in_the_background_keeps_what_it_has(self):
        result = self.run_muster(["run", "--backend", "direct", "--detach", "--run-id", "run-a",
                                  "--", *WAITING])
        self.assert_code(result, 0)
        self.assertEqual(self.only_lease()["run_id"], "run-a")
        (self.work_dir / "end").touch()
        wait_until(lambda: not self.leases(), 30, "the end of its lease")

    @needs_root
    def test_a_launcher_that_is_pid_1_has_its_cores_as_any_other(self):
        run = self.start("run-a", prefix=("unshare", "--pid", "--fork", "--mount-proc"))
        if run.process.poll() is not None:
            raise unittest.SkipTest("no PID namespace allowed here")
        self.assertEqual(self.only_lease()["launcher_pid"], 1)
        self.run_muster(["run", "--", "true"])  # removes what is stale
        self.assertEqual(self.only_lease()["run_id"], "run-a")
        self.end(run)

    def test_without_a_place_for_them_the_run_goes_on_with_one_warning(self):
        (self.work_dir / "file").touch()
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "true"],
                                 env={"MUSTER_LEASE_DIR": self.work_dir / "file"})
        self.assert_code(result, 0)
        said = [line for line in result.stderr.splitlines() if "warning" in line]
        self.assertEqual(len(said), 1, result)
        self.assertIn("other runs on this node are not told", said[0])
        self.assertIn("Not a directory", said[0])

    def test_looking_at_a_plan_takes_nothing(self):
        result = self.run_muster(["plan", "--", "true"])
        self.assert_code(result, 0)
        self.assertFalse(self.leases_dir.exists())


@unittest.skipUnless(len(CPUS) > 1, "needs two CPUs")
class Sharing(LeaseTest):
    ONE_CORE = ("--set", "resources.cores_per_process=1")

    def test_starts_at_the_same_time_never_share_a_core_while_one_is_free(self):
        for round_number in range(ROUNDS):
            (self.work_dir / "end").unlink(missing_ok=True)
            ids = [f"{name}-{round_number}" for name in ("a", "b")]
            runs = [self.start_muster(["run", "--backend", "direct", "--run-id", run_id,
                                       *self.ONE_CORE, "--", *WAITING]) for run_id in ids]
            for run_id in ids:
                wait_until((self.work_dir / f"started.{run_id}").exists, 60, "the start of " + run_id)
            self.end(*runs)
            where = [(self.runs_dir / run_id / "ranks/00000/attempt-0/stdout.log")
                     .read_text(encoding="utf-8").split()[-1] for run_id in ids]
            self.assertEqual(len(set(where)), 2, where)
            for run in runs:
                self.assertNotIn(b"warning", run.output())

    def test_one_that_finds_no_free_core_shares_and_says_with_whom(self):
        first = self.start("run-a")  # has all of them
        second = self.start("run-b", *self.ONE_CORE)
        warning = self.warning_of(second)
        self.assertRegex(warning, r"warning: .*belong to .*run-a")
        self.assertIn("cores_per_process", warning)
        planned = self.run_muster(["plan", *self.ONE_CORE, "--", "true"])
        self.assertIn("run-a", planned.stdout)
        self.assertEqual(len(self.leases()), 2)
        self.end(first, second)

    def test_rank_map_may_share_and_is_told_of_it(self):
        first = self.start("run-a", *self.ONE_CORE)
        cpu = self.only_lease()["cpus"].split("-")[0].split(",")[0]
        (self.work_dir / "map.yaml").write_text(
            "command: " + json.dumps("true") + "\nresources:\n  rank_map:\n"
            f"    - {{cpus: \"{cpu}\"}}\n", encoding="utf-8")
        result = self.run_muster(["run", "-n", "1", "--backend", "direct", "map.yaml"])
        self.assert_code(result, 0)
        self.assertRegex(result.stderr, rf"warning: rank_map gives CPU {cpu} of .* run run-a \(pro")
        self.end(first)

    def test_what_runs_have_is_read_though_a_start_stands_still(self):
        first = self.start("run-a", *self.ONE_CORE)
        descriptor = os.open(self.leases_dir, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            second = self.start("run-b", *self.ONE_CORE)
        finally:
            os.close(descriptor)
        cpus = [lease["cpus"] for lease in self.leases().values()]
        self.assertEqual(len(set(cpus)), 2, cpus)
        self.assertRegex(self.warning_of(second),
                         "warning: a run that starts at the same time may have chosen the same")
        self.end(first, second)

    def test_a_run_inside_a_rank_has_the_cores_of_that_rank(self):
        inner = [MUSTER, "run", "--backend", "direct", "--", "true"]
        result = self.run_muster(["run", "--backend", "direct", "--", *inner])
        self.assert_code(result, 0)
        self.assertNotIn("warning", result.stderr)
        self.assertNotIn(b"warning", result.rank_bytes(0, "stderr.log"))


if __name__ == "__main__":
    main()
