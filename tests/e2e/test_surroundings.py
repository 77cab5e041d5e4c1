"""Where a run is started must not matter: stale variables of other jobs, another mpirun around it,
any user, no name service, no network, a read-only root, low limits, closed descriptors."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import muster_test
from muster_test import BIN_DIR, MPIRUN, MusterTest, needs_mpirun, needs_root, program

# As jobs leave them in a shell: salloc's, a PBS and an LSF script's, an mpirun's and an
# srun's rank.
STALE = {
    "SLURM_JOB_ID": "4711", "SLURM_JOBID": "4711", "SLURM_NODELIST": "node[1-4]",
    "SLURM_JOB_NODELIST": "node[1-4]", "SLURM_NNODES": "4", "SLURM_JOB_NUM_NODES": "4",
    "SLURM_NTASKS": "32", "SLURM_TASKS_PER_NODE": "8(x4)", "SLURM_JOB_CPUS_PER_NODE": "8(x4)",
    "SLURM_PROCID": "3", "SLURM_LOCALID": "3", "SLURM_NODEID": "1",
    "PBS_JOBID": "12.head", "PBS_NODEFILE": "/nowhere/12.head", "PBS_ENVIRONMENT": "PBS_BATCH",
    "LSB_JOBID": "99", "LSB_HOSTS": "nodea nodea nodeb", "LSB_DJOB_HOSTFILE": "/nowhere/99",
    "LSB_MCPU_HOSTS": "nodea 2 nodeb 1",
    "OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "3",
    "OMPI_UNIVERSE_SIZE": "8", "OMPI_MCA_ess": "^singleton", "OMPI_MCA_orte_ess_num_procs": "8",
    "OMPI_MCA_ess_base_jobid": "1180237825", "OMPI_MCA_ess_base_vpid": "5",
    "OMPI_MCA_orte_hnp_uri": "1180237824.0;tcp://192.0.2.2:60853",
    "OMPI_MCA_orte_local_daemon_uri": "1180237824.0;tcp://192.0.2.2:60853",
    "OMPI_MCA_orte_jobfam_session_dir": "/nowhere/ompi.gone.0/pid.1",
    "OMPI_FILE_LOCATION": "/nowhere/ompi.gone.0/pid.1/0/0",
    "PMIX_NAMESPACE": "1180237825", "PMIX_RANK": "5", "PMIX_SECURITY_MODE": "native",
    "PMIX_SERVER_URI2": "1180237824.0;tcp4://127.0.0.1:1",
    "PMIX_SERVER_URI3": "1180237824.0;tcp4://127.0.0.1:1",
    "PMIX_SERVER_URI4": "1180237824.0;tcp4://127.0.0.1:1", "PMIX_GDS_MODULE": "ds21,ds12,hash",
    "PMI_RANK": "5", "PMI_SIZE": "8", "PMI_FD": "7", "PRTE_LAUNCHED": "1",
}

# mpirun gives these the same value in every job.
ALWAYS_SET_BY_MPIRUN = ("OMPI_MCA_ess", "PMIX_SECURITY_MODE", "PMIX_GDS_MODULE")

BACKENDS = ["direct"] + (["mpi"] if MPIRUN else [])


def shell(script):
    """A prefix for start_muster: the shell does `script` and then becomes muster."""
    return ["sh", "-c", f'{script}\nexec "$@"', "sh"]


# Makes everything read-only but one directory, in a mount namespace of its own, and proves it.
READ_ONLY_ROOT = """
set -e
mount --bind "$WRITABLE" "$WRITABLE"
sed 's/^[^ ]* //; s/ .*//' /proc/self/mounts | while read -r at; do
  case $at in
    /proc|/proc/*|/sys|/sys/*|"$WRITABLE") ;;
    *) mount -o remount,bind,ro "$at" || exit 97 ;;
  esac
done
for at in / /tmp /dev/shm "$HOME" "$PWD"; do
  if touch "$at/muster-test-$$" 2> /dev/null; then rm "$at/muster-test-$$"; exit 98; fi
done
"""


class SurroundingsTest(MusterTest):
    def run_probe(self, count=2, backend="direct", **keywords):
        """Runs rank_probe; what each rank saw."""
        result = self.run_muster(["run", "-n", count, "--backend", backend, "--console", "none",
                                  "--", program("rank_probe")], **keywords)
        self.assert_code(result, 0)
        return result, [json.loads(result.rank_bytes(rank)) for rank in range(count)]

    def assert_mpi_world_forms(self, size=2, **keywords):
        result = self.run_muster(["run", "-n", size, "--backend", "mpi", "--",
                                  program("mpi_hello")], **keywords)
        self.assert_code(result, 0)
        total = size * (size + 1) // 2
        for rank in range(size):
            self.assertEqual(result.rank_bytes(rank).decode(),
                             f"rank {rank} of {size} sum {total}\n")
        self.assert_nothing_left()
        return result

    def install(self, name="bin"):
        """Both programs and the probe in a directory that every user can enter."""
        directory = self.directory / name
        directory.mkdir()
        for source in (BIN_DIR / "muster", BIN_DIR / "muster-agent", Path(program("rank_probe")),
                       Path(program("mpi_hello")) if MPIRUN else None):
            if source is None:
                continue
            try:
                os.link(source, directory / source.name)
            except OSError:
                shutil.copy2(source, directory / source.name)
        return directory


@needs_mpirun
class MpirunArgv(SurroundingsTest):
    def record_mpirun(self):
        """A PATH whose first mpirun writes down its arguments and becomes the real one."""
        directory = self.directory / "recorder"
        directory.mkdir()
        words = self.directory / "words"
        script = directory / "mpirun"
        script.write_text("#!/bin/sh\n"
                          f"[ \"$1\" = --version ] || printf '%s\\0' \"$@\" > '{words}'\n"
                          f"exec '{MPIRUN}' \"$@\"\n", encoding="utf-8")
        script.chmod(0o755)
        return words, f"{directory}:{os.environ['PATH']}"

    def planned(self, args, env, muster):
        plan = self.run_muster(["plan", "--format", "argv", *args], env=env, muster=muster)
        self.assert_code(plan, 0)
        [line] = plan.stdout.splitlines()
        return shlex.split(line)

    def assert_runs_as_planned(self, args, muster=muster_test.MUSTER):
        words, path = self.record_mpirun()
        env = {"PATH": path}
        planned = self.planned(args, env, muster)
        result = self.run_muster(["run", *args], env=env, muster=muster)
        self.assert_code(result, 0)
        executed = [word.decode() for word in words.read_bytes().split(b"\0")[:-1]]
        self.assertEqual(planned[0], "mpirun")
        self.assertEqual(planned[1:], executed)
        plan_json = json.loads((result.run_directory / "plan.json").read_text(encoding="utf-8"))
        self.assertEqual(plan_json["mpirun_argv"], planned)
        self.assertEqual(self.planned(args, env, muster), planned)  # nothing of one run is in it
        return planned

    def test_executed_argv_is_the_planned_argv(self):
        config = self.work_dir / "run.yaml"
        config.write_text("command: 'true'\nprocess_count_per_node: 2\n"
                          "distributed_backend: mpi\nlimits: {stop_grace_period: 7s}\n",
                          encoding="utf-8")
        self.assert_runs_as_planned([config, "--", "--rate", "0.1", "a b"])

    def test_more_ranks_than_cores_too(self):
        count = 2 * len(os.sched_getaffinity(0))
        planned = self.assert_runs_as_planned(["-n", count, "--backend", "mpi", "--", "true"])
        self.assertIn("--oversubscribe", planned)

    def test_an_installation_path_with_blanks_and_quotes_too(self):
        directory = self.install("it's my $HOME")
        planned = self.assert_runs_as_planned(["-n", "2", "--backend", "mpi", "--", "true"],
                                              muster=directory / "muster")
        self.assertEqual(planned[-1], str(directory / "muster-agent"))

    def test_the_kernel_shows_the_planned_words_argv0_included(self):
        args = ["-n", "2", "--backend", "mpi", "--", "sleep", "600"]
        planned = self.planned(args, None, muster_test.MUSTER)
        running = self.start_muster(["run", *args])

        def mpirun_words():
            words = [each.argv for each in running.processes() if each.argv[0] == "mpirun"]
            return words[0] if words else None

        self.assertEqual(muster_test.wait_until(mpirun_words, 30, "mpirun"), planned)


class StaleVariables(SurroundingsTest):
    @needs_mpirun
    def test_mpi_runs_form_their_own_world(self):
        result = self.assert_mpi_world_forms(env=STALE)
        self.assertEqual(result.run_json["warnings"], [])

    def test_ranks_see_the_scheduler_but_no_other_world(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                _, probes = self.run_probe(backend=backend, env=STALE)
                for rank, probe in enumerate(probes):
                    seen = probe["environment"]
                    for name, value in STALE.items():
                        if name.startswith(("SLURM_", "PBS_", "LSB_")):
                            self.assertEqual(seen.get(name), value)
                        elif backend != "mpi" or name not in ALWAYS_SET_BY_MPIRUN:
                            self.assertNotEqual(seen.get(name, ""), value, name)
                    self.assertEqual(seen["RANK"], str(rank))

    @needs_mpirun
    def test_what_was_kept_from_mpirun_is_recorded(self):
        result = self.assert_mpi_world_forms(env=STALE)
        plan = (result.run_directory / "plan.json").read_text(encoding="utf-8")
        for name in ("SLURM_NODELIST", "OMPI_MCA_ess", "PMIX_SERVER_URI4", "LSB_HOSTS"):
            self.assertIn(f'"{name}"', plan)


@needs_mpirun
class InsideAnotherMpirun(SurroundingsTest):
    def outer(self, count):
        session = self.directory / "outer"
        session.mkdir()
        words = [MPIRUN, "-np", count, "--oversubscribe", "--bind-to", "none", "--host",
                 f"localhost:{count}", "--mca", "odls_base_num_threads", "0", "--mca",
                 "orte_tmpdir_base", session]
        if os.geteuid() == 0:
            words.insert(1, "--allow-run-as-root")
        return words

    def inside(self, count, backend, name):
        result = self.run_muster(["run", "-n", "2", "--backend", backend, "--", program(name)],
                                 prefix=self.outer(count), timeout=120)
        self.assert_code(result, 0)
        self.assert_nothing_left()
        self.assert_runtime_empty()
        runs = self.run_directories()
        self.assertEqual(len(runs), count)
        return runs

    def test_one_run_inside(self):
        [run] = self.inside(1, "mpi", "mpi_hello")
        log = run / "ranks/00001/attempt-0/stdout.log"
        self.assertEqual(log.read_bytes(), b"rank 1 of 2 sum 3\n")

    def test_one_direct_run_inside_shows_nothing_of_the_outer_world(self):
        [run] = self.inside(1, "direct", "rank_probe")
        seen = json.loads((run / "ranks/00001/attempt-0/stdout.log").read_bytes())["environment"]
        self.assertEqual(seen["WORLD_SIZE"], "2")
        self.assertEqual([name for name in seen
                          if name.startswith(("OMPI_COMM_WORLD", "OMPI_UNIVERSE", "PMIX_"))], [])

    def test_two_runs_inside_at_once(self):
        for run in self.inside(2, "mpi", "mpi_hello"):
            self.assertEqual((run / "ranks/00000/attempt-0/stdout.log").read_bytes(),
                             b"rank 0 of 2 sum 3\n")


@needs_root
class OtherUsers(SurroundingsTest):
    def run_as(self, uid, backend, home="home", environment=None):
        self.directory.chmod(0o755)
        installed = self.install(f"bin-{backend}")
        for path in (self.directory / home, self.runs_dir, self.runtime_dir, self.work_dir):
            path.mkdir(exist_ok=True)
            os.chown(path, uid, uid)
        env = {"HOME": self.directory / home, "USER": None, "LOGNAME": None, **(environment or {})}
        name = "mpi_hello" if backend == "mpi" else "rank_probe"
        result = self.run_muster(
            ["run", "-n", "2", "--backend", backend, "--", installed / name], env=env,
            muster=installed / "muster",
            prefix=["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"])
        self.assert_code(result, 0)
        self.assertEqual(result.run_directory.stat().st_uid, uid)
        if backend == "direct":
            self.assertEqual(json.loads(result.rank_bytes(1))["uid"], uid)
        else:
            self.assertEqual(result.rank_bytes(1), b"rank 1 of 2 sum 3\n")
            argv = result.run_json["plan"]["mpirun"]["argv"]
            self.assertNotIn("--allow-run-as-root", argv)
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_nobody_runs(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                self.run_as(65534, backend)

    def test_a_user_without_a_passwd_entry_runs(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                self.run_as(54321, backend)

    def test_a_user_whose_home_is_missing_runs(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                self.run_as(54321, backend, environment={"HOME": "/nonexistent"})


@needs_root
class Namespaces(SurroundingsTest):
    def require(self, *command):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              check=False)
        if done.returncode != 0:
            self.skipTest(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")

    def test_an_unresolvable_hostname(self):
        self.require("unshare", "--uts", "true")
        prefix = ["unshare", "--uts", *shell("hostname muster-test.invalid || exit 96")]
        for backend in BACKENDS:
            with self.subTest(backend):
                result, _ = self.run_probe(backend=backend, prefix=prefix)
                self.assertEqual(result.run_json["hostname"], "muster-test.invalid")
        if MPIRUN:
            self.assert_mpi_world_forms(prefix=prefix)

    def test_no_network_but_lo(self):
        self.require("unshare", "--net", "ip", "link", "set", "lo", "up")
        prefix = ["unshare", "--net", *shell("ip link set lo up || exit 96")]
        self.run_probe(prefix=prefix)
        if MPIRUN:
            self.assert_mpi_world_forms(prefix=prefix)

    def read_only_root(self, variables):
        self.require("unshare", "--mount", "true")
        writable = self.directory / "writable"
        writable.mkdir()
        self.runs_dir = writable / "runs"
        return {"prefix": ["unshare", "--mount", *shell(READ_ONLY_ROOT)],
                "cwd": "/",
                "env": {"WRITABLE": writable, "MUSTER_RUNS_DIR": self.runs_dir,
                        "HOME": os.environ.get("HOME", "/root"),
                        **{name: value and writable / value for name, value in variables.items()}}}

    def test_a_read_only_root_with_one_writable_directory(self):
        around = self.read_only_root({"MUSTER_RUNTIME_DIR": "."})
        self.run_probe(**around)
        if MPIRUN:
            self.assert_mpi_world_forms(**around)
        self.assertEqual([path.name for path in (self.directory / "writable").iterdir()], ["runs"])

    def test_a_read_only_root_where_only_tmpdir_is_told(self):
        around = self.read_only_root({"MUSTER_RUNTIME_DIR": None, "TMPDIR": ".",
                                      "XDG_RUNTIME_DIR": None})
        self.run_probe(**around)
        if MPIRUN:
            self.assert_mpi_world_forms(**around)

    def test_a_read_only_root_without_a_place_for_sockets_lists_each(self):
        around = self.read_only_root({"MUSTER_RUNTIME_DIR": None, "TMPDIR": None,
                                      "XDG_RUNTIME_DIR": None})
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "true"], **around)
        self.assert_code(result, 69)
        self.assertRegex(result.stderr, r"no directory for sockets.*/tmp \(.*/dev/shm \(")
        self.assertIn("hint: set MUSTER_RUNTIME_DIR", result.stderr)
        self.assertEqual(list((self.directory / "writable").iterdir()), [])


class Limits(SurroundingsTest):
    def test_a_low_soft_limit_is_raised_for_the_launcher_and_restored_for_ranks(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                command = f"'{program('rank_probe')}'; exec sleep 600"
                running = self.start_muster(
                    ["run", "-n", "8", "--backend", backend, "--console", "none", "--", "sh", "-c",
                     command], prefix=shell("ulimit -Sn 64"))

                def probe():
                    try:
                        log = running.run_directory / "ranks/00007/attempt-0/stdout.log"
                        return json.loads(log.read_bytes())
                    except (OSError, TypeError, json.JSONDecodeError):
                        return None

                seen = muster_test.wait_until(probe, 30, "the output of rank 7")
                self.assertEqual(seen["limits"]["nofile"][0], 64)
                limits = Path(f"/proc/{running.pid}/limits").read_text(encoding="utf-8")
                [soft] = re.findall(r"Max open files +(\d+)", limits)
                self.assertGreater(int(soft), 64)
                running.send(15)
                running.wait()

    def test_a_hard_limit_that_is_too_low_is_told_with_the_number_needed(self):
        args = ["run", "-n", "8", "--backend", "direct", "--", "true"]
        result = self.run_muster(args, prefix=shell("ulimit -n 90"))
        self.assert_code(result, 69)
        self.assertIn("the hard limit of 90 open files is too low for 8 ranks", result.stderr)
        self.assertIn("hint: ", result.stderr)
        self.assertEqual(self.run_directories(), [])
        self.assert_nothing_left()
        self.assert_runtime_empty()
        [needed] = re.findall(r"(\d+) are needed", result.stderr)
        self.assertGreater(int(needed), 90)
        # The number is true: with it, all runs.
        for backend in BACKENDS:
            with self.subTest(backend):
                args[4] = backend
                self.assert_code(self.run_muster(args, prefix=shell(f"ulimit -n {needed}")), 0)


class Descriptors(SurroundingsTest):
    def assert_unharmed(self, redirection):
        for backend in BACKENDS:
            with self.subTest(backend=backend, redirection=redirection):
                result, probes = self.run_probe(
                    backend=backend, prefix=["sh", "-c", f'exec "$@" {redirection}', "sh"])
                for probe in probes:
                    self.assertEqual(sorted(probe["fds"]), ["0", "1", "2"])
                    self.assertEqual(probe["fds"]["0"], "/dev/null")
                self.assertEqual(result.rank_bytes(0, "stderr.log"), b"")
                self.assertEqual(result.run_json["status"], "succeeded")
                events = (result.run_directory / "events.jsonl").read_text(encoding="utf-8")
                for line in events.splitlines():
                    json.loads(line)  # no console line went astray into it

    def test_stdin_closed(self):
        self.assert_unharmed("<&-")

    def test_stdout_closed(self):
        self.assert_unharmed(">&-")

    def test_all_closed(self):
        self.assert_unharmed("<&- >&- 2>&-")

    def test_further_descriptors_are_not_handed_on(self):
        self.assert_unharmed("7</dev/null 9>/dev/null")

    def test_a_reader_of_stdout_that_goes_away_disturbs_nothing(self):
        lines = "".join(f"{number}\n" for number in range(1, 200_001)).encode()
        for backend in BACKENDS:
            for pipe in ("|", "2>&1 |"):
                with self.subTest(backend=backend, pipe=pipe):
                    done = self.directory / f"done-{backend}-{len(pipe)}"  # the failing rank waits
                    result = self.run_muster(
                        ["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                         f"seq 200000; [ $RANK = 1 ] || {{ : > '{done}'; exit 0; }}; "
                         f"until [ -e '{done}' ]; do sleep 0.01; done; exit 7"],
                        prefix=["bash", "-c", f'"$@" {pipe} head -1; exit ${{PIPESTATUS[0]}}',
                                "bash"])
                    self.assert_code(result, 7)
                    self.assertEqual(result.stdout_bytes.count(b"\n"), 1)
                    for rank in range(2):
                        self.assertEqual(result.rank_bytes(rank), lines)
                    self.assertEqual(result.run_json["gaps"], [])
                    self.assert_nothing_left()


class AtOnce(SurroundingsTest):
    def test_two_runs_at_once(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                args = ["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                        "echo run $MUSTER_RUN_ID rank $RANK; sleep 0.5; echo end"]
                both = [self.start_muster([*args[:1], "--run-id", f"{backend}-{name}", *args[1:]])
                        for name in ("one", "two")]
                for name, running in zip(("one", "two"), both):
                    self.assert_code(running.wait(), 0)
                    for rank in range(2):
                        run = self.runs_dir / f"{backend}-{name}"
                        log = run / f"ranks/{rank:05}/attempt-0/stdout.log"
                        self.assertEqual(log.read_text(encoding="utf-8"),
                                         f"run {backend}-{name} rank {rank}\nend\n")
                self.assert_nothing_left()
                self.assert_runtime_empty()

    def test_eight_starts_in_one_second_have_eight_names(self):
        all_running = [self.start_muster(["run", "--", "echo", number]) for number in range(8)]
        for running in all_running:
            self.assert_code(running.wait(), 0)
        self.assertEqual(len(self.run_directories()), 8)


if __name__ == "__main__":
    muster_test.main()
