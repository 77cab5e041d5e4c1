"""A real Slurm on three nodes of this machine: what docs/slurm.md says, word for word."""

import json
import os
import re
import shutil
import subprocess
import time

import muster_test
from muster_test import MUSTER, PYTHON, wait_until
from nodes import NodesTest

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol")
CONF = """
ClusterName=test
SlurmctldHost=node-a(10.77.0.10)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# Credentials live for seconds, so that a requeued job need not wait two minutes.
AuthInfo=socket={at}/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
MpiDefault=none
ReturnToService=2
KillWait=60
SchedulerParameters=sched_interval=2,batch_sched_delay=1
SlurmdParameters=config_overrides
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool-%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd-%n.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmdLogFile={at}/slurmd-%n.log
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
JOB = """#!/bin/sh
#SBATCH --job-name=train --nodes=3 --ntasks-per-node=1 --time=10 --output={log}
exec srun --ntasks-per-node=1 {muster} run {config}
"""
SUM = ("from mpi4py import MPI\n"
       "world = MPI.COMM_WORLD\n"
       "print(f'rank {world.rank} of {world.size}: {world.allreduce(world.rank + 1)}', flush=True)\n")


def missing():
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


class SlurmTest(NodesTest):
    """`self.slurm` is where the cluster keeps its files."""

    def setUp(self):
        super().setUp()
        absent = missing()
        if absent:
            self.skipTest(f"no {', '.join(absent)} (Debian: slurm-wlm, munge)")
        if os.geteuid() != 0:
            self.skipTest("only root starts a Slurm of several nodes on one machine")
        self.make_world(3)
        self.slurm = self.directory / "slurm"
        for folder in ("state", "spool-node-a", "spool-node-b", "spool-node-c"):
            (self.slurm / folder).mkdir(parents=True)
        nodes = "\n".join(f"NodeName={node.host} NodeAddr={node.address} CPUs=2 State=UNKNOWN"
                          for node in self.world)
        (self.slurm / "slurm.conf").write_text(CONF.format(at=self.slurm, nodes=nodes), "utf-8")
        # The same paths on all nodes, and on each its own files.
        own = {name: self.directory / f"own-{name}" for name in ("rt", "leases", "tmp")}
        for path in own.values():
            path.mkdir(mode=0o700)
            for node in self.world:
                node.hide(path)
        self.settings = {"SLURM_CONF": str(self.slurm / "slurm.conf"),
                         "MUSTER_RUNTIME_DIR": str(own["rt"]),
                         "MUSTER_LEASE_DIR": str(own["leases"]), "TMPDIR": str(own["tmp"]),
                         "MUSTER_TOKEN_FILE": str(self.token()),
                         "PATH": os.environ.get("PATH", "") + ":/usr/sbin"}
        self.start_daemons()

    def start_daemons(self):
        head = self.world[0]
        key = self.slurm / "munge.key"
        head.run("mungekey", "--create", "--keyfile", key, env=self.settings)
        self.daemon(head, "munged", "--foreground", "--force", "--key-file", key,
                    "--socket", self.slurm / "munge.socket", "--pid-file", self.slurm / "munged.pid",
                    "--seed-file", self.slurm / "munged.seed", "--log-file",
                    self.slurm / "munged.log", "--num-threads", "2")
        wait_until(lambda: (self.slurm / "munge.socket").exists(), 20, "munged's socket")
        self.daemon(head, "slurmctld", "-D")
        for node in self.world:
            self.daemon(node, "slurmd", "-D")
        wait_until(lambda: self.idle_nodes() == 3, 60, "three idle nodes")

    def daemon(self, node, *words):
        with open(self.slurm / f"{words[0]}-{node.host}.said", "wb") as said:
            daemon = subprocess.Popen([*node.inside, *map(str, words)], stdin=subprocess.DEVNULL,
                                      stdout=said, stderr=said,
                                      env=self.environment({**node.environment, **self.settings}))
        self.addCleanup(self.end_daemon, daemon)

    @staticmethod
    def end_daemon(daemon):
        daemon.kill()
        daemon.wait()

    def ask(self, *words, check=True):
        return self.world[0].run(*words, env=self.settings, check=check).stdout

    def idle_nodes(self):
        told = self.world[0].run("scontrol", "show", "node", "-o", env=self.settings, check=False)
        return len(re.findall(r"State=IDLE\s", told.stdout))

    def submit(self, config):
        file = self.work_dir / "run.json"
        file.write_text(json.dumps(config), "utf-8")
        script = self.work_dir / "job.sh"
        script.write_text(JOB.format(log=self.slurm / "job.log", muster=MUSTER, config=file), "utf-8")
        return self.ask("sbatch", "--parsable", script).strip()

    def state(self, job):
        told = self.ask("scontrol", "show", "job", "-o", job)
        return re.search(r"JobState=(\S+)", told)[1], re.search(r" ExitCode=(\S+)", told)[1]

    def assert_ends(self, job, state, code=None, seconds=90):
        deadline = time.monotonic() + seconds
        while self.state(job)[0] in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"):
            if time.monotonic() > deadline:
                self.fail(f"job {job} does not end: {self.state(job)}\n{self.said()}")
            time.sleep(0.2)
        ended = self.state(job)
        self.assertEqual(ended[0], state, self.said())
        if code is not None:
            self.assertEqual(ended[1], code, self.said())

    def said(self):
        log = self.slurm / "job.log"
        return log.read_text("utf-8", "replace") if log.exists() else "(nothing said)"

    def runs(self):
        """What run.json of each says, the oldest first."""
        found = [json.loads((directory / "run.json").read_text("utf-8"))
                 for directory in self.run_directories() if (directory / "run.json").exists()]
        return sorted(found, key=lambda run: run["started_at"])

    def stored(self, rank, run=-1):
        directory = sorted(self.run_directories(), key=lambda each: each.stat().st_ctime)[run]
        return (directory / f"ranks/{rank:05d}/attempt-0/stdout.log").read_text("utf-8")

    def begun(self, count):
        """Whether that many ranks have said so, in files beside the config."""
        return lambda: len(list(self.work_dir.glob("started-*"))) == count


class Slurm(SlurmTest):
    def config(self, script, backend="direct", **more):
        return {"command": script, "node_count": 3, "process_count_per_node": 2,
                "distributed_backend": backend, **more}

    @muster_test.needs_mpirun
    def test_trains_with_mpi(self):
        if subprocess.run([PYTHON, "-c", "import mpi4py"], capture_output=True).returncode:
            self.skipTest(f"{PYTHON} has no mpi4py")
        (self.work_dir / "sum.py").write_text(SUM, "utf-8")
        job = self.submit(self.config(f"{PYTHON} {self.work_dir}/sum.py", "mpi"))
        self.assert_ends(job, "COMPLETED", "0:0")
        for rank in range(6):
            self.assertEqual(self.stored(rank), f"rank {rank} of 6: 21\n")
        [run] = self.runs()
        [why] = [each["why"] for each in run["plan"]["reasons"] if each["subject"] == "membership"] \
            if "reasons" in run["plan"] else [self.membership()]
        self.assertIn("node rank 0 (SLURM_NODEID) of 3", why)
        self.assertIn("head node-a (SLURM_STEP_NODELIST)", why)

    def membership(self):
        [directory] = self.run_directories()
        plan = json.loads((directory / "plan.json").read_text("utf-8"))
        return next(each["why"] for each in plan["reasons"] if each["subject"] == "membership")

    def test_the_job_ends_with_the_run_s_code(self):
        job = self.submit(self.config("test $RANK != 4 || exit 42; sleep 60"))
        self.assert_ends(job, "FAILED", "42:0")
        [run] = self.runs()
        self.assertEqual(run["exit_code"], 42)

    def test_scancel_leaves_ranks_their_grace(self):
        job = self.submit(self.config(
            f"trap 'sleep 1; echo saved; exit 0' TERM; touch {self.work_dir}/started-$RANK; "
            "while :; do sleep 0.1; done"))
        wait_until(self.begun(6), 60, "six ranks")
        self.ask("scancel", job)
        self.assert_ends(job, "CANCELLED")
        wait_until(lambda: self.runs() and self.runs()[0].get("exit_code") is not None,
                   30, "the end of the run's record")
        [run] = self.runs()
        self.assertEqual(run["exit_code"], 143, self.said())
        for rank in range(6):
            self.assertEqual(self.stored(rank), "saved\n")

    def test_a_requeued_job_runs_again(self):
        job = self.submit(self.config(
            f"touch {self.work_dir}/started-$RANK; "
            'if [ "${SLURM_RESTART_COUNT:-0}" = 1 ]; then echo again; else sleep 600; fi'))
        wait_until(self.begun(6), 60, "six ranks")
        self.ask("scontrol", "requeue", job)
        self.assert_ends(job, "COMPLETED", "0:0", 120)
        first, second = self.runs()
        self.assertEqual((first["exit_code"], second["exit_code"]), (143, 0), self.said())
        for rank in range(6):
            self.assertEqual(self.stored(rank), "again\n")


if __name__ == "__main__":
    muster_test.main()
