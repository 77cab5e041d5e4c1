"""What a rank sees: DESIGN 7.2's names, its place, and nothing of the launcher."""

import json
import os
import re
import socket
from pathlib import Path

import muster_test
from muster_test import BIN_DIR, MusterTest, needs_mpirun, program

PREFERRED = (1, 5)  # MPOL_PREFERRED, MPOL_PREFERRED_MANY
AGENT_RSS_KIB = 3 * 1024
FROM_MPIRUN = ("OMPI_", "PMIX_", "PRTE_", "HFI_NO_BACKTRACE", "IPATH_NO_BACKTRACE")
SANITIZED = "asan" in str(BIN_DIR)


def parse_cpus(text):
    """[0, 1, 2, 5] of "0-2,5"."""
    cpus = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


class RankEnvironment:
    backend = ""

    def run_probe(self, count=2, env=None, config=None):
        """Result and what each rank saw."""
        args = ["-n", count, "--backend", self.backend, "--console", "none"]
        if config is None:
            args += ["--", program("rank_probe")]
        else:
            path = self.work_dir / "run.yaml"
            path.write_text(f"command: exec '{program('rank_probe')}'\n{config}", encoding="utf-8")
            args.append(path)
        result = self.run_muster(["run", *args], env=env)
        self.assert_code(result, 0)
        return result, [json.loads(result.rank_bytes(rank)) for rank in range(count)]

    def test_all_families_of_names_agree(self):
        result, probes = self.run_probe(3)
        run_id = result.run_json["run_id"]
        ports = set()
        for rank, probe in enumerate(probes):
            seen = probe["environment"]
            wanted = {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "3",
                "LOCAL_WORLD_SIZE": "3", "NODE_RANK": "0", "GROUP_RANK": "0",
                "MASTER_ADDR": "127.0.0.1", "MUSTER_RUN_ID": run_id,
                "AZUREML_RUN_ID": run_id, "AZUREML_CR_NODE_RANK": "0",
                "AZUREML_PROCESS_NAME": f"rank_{rank}",
                "AZ_BATCHAI_PYTORCH_INIT_METHOD": f"tcp://127.0.0.1:{seen['MASTER_PORT']}",
                "AZ_BATCHAI_IS_CURRENT_NODE_MASTER": "true", "AZ_BATCH_NODE_IS_DEDICATED": "true",
                "AZ_BATCH_JOB_ID": run_id, "AZ_BATCH_TASK_ID": run_id,
                "AZ_BATCH_NODE_ID": socket.gethostname(),
                "AZ_BATCH_HOST_LIST": "127.0.0.1", "AZ_BATCH_NODE_LIST": "127.0.0.1",
                "AZ_BATCH_IS_CURRENT_NODE_MASTER": "true", "AZ_BATCHAI_TASK_INDEX": str(rank),
                "AZ_BATCHAI_JOB_MASTER_NODE_IP": "127.0.0.1", "AZ_BATCHAI_MPI_MASTER_NODE":
                "localhost", "TORCHELASTIC_RUN_ID": run_id, "TORCHELASTIC_RESTART_COUNT": "0",
                "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_USE_AGENT_STORE": "False",
                "GROUP_WORLD_SIZE": "1", "ROLE_RANK": str(rank), "ROLE_WORLD_SIZE": "3",
                "ROLE_NAME": "default", "NCCL_SOCKET_IFNAME": "lo",
                "GLOO_SOCKET_IFNAME": "lo", "PYTHONUNBUFFERED": "1",
            }
            self.assertEqual({name: seen.get(name) for name in wanted}, wanted)
            self.assertIn("NCCL_DEBUG", seen)
            self.assertTrue(seen["TORCHELASTIC_ERROR_FILE"].startswith(str(result.run_directory)))
            self.assertTrue(seen["MUSTER_METRICS"].endswith(f".{rank}"))
            address, _, service_port = seen["AZ_BATCH_MASTER_NODE"].partition(":")
            self.assertEqual(address, "127.0.0.1")
            ports.add((seen["MASTER_PORT"], service_port))
        self.assertEqual(len(ports), 1)  # all ranks are told the same
        self.assertEqual(len(set(*ports)), 2)
        for port in ports.pop():
            self.assertTrue(1024 <= int(port) < 65536)

    def test_the_environment_is_the_planned_one(self):
        result, probes = self.run_probe()
        plan = json.loads((result.run_directory / "plan.json").read_text(encoding="utf-8"))
        for rank, probe in enumerate(probes):
            planned = {**plan["environment"]["common"], **plan["environment"]["per_rank"][rank]}
            self.assertGreater(len(planned), 20)
            self.assertEqual({name: probe["environment"].get(name) for name in planned}, planned)

    def test_nothing_of_the_launchers_own_machinery_is_seen(self):
        _, probes = self.run_probe()
        for probe in probes:
            for name in ("MUSTER_NODE_SOCKET", "MUSTER_AGENT_RANK", "HWLOC_PLUGINS_PATH",
                         "HWLOC_COMPONENTS"):
                self.assertNotIn(name, probe["environment"])

    def test_the_callers_identity_is_not_inherited_and_the_rest_is(self):
        caller = {"RANK": "7", "WORLD_SIZE": "99", "LOCAL_RANK": "7", "LOCAL_WORLD_SIZE": "99",
                  "NODE_RANK": "5", "GROUP_RANK": "5", "GROUP_WORLD_SIZE": "9",
                  "OMPI_COMM_WORLD_RANK": "77", "PMIX_RANK": "77", "PMI_RANK": "77",
                  "TORCHELASTIC_RUN_ID": "other", "MUSTER_RUN_ID": "other",
                  "MUSTER_METRICS": "other",  # a rank: its MUSTER_RUN_ID is no wish for ours
                  "MY_SETTING": "kept", "EMPTY": "", "LINES": "one\ntwo"}
        _, probes = self.run_probe(env=caller)
        for rank, probe in enumerate(probes):
            seen = probe["environment"]
            self.assertEqual((seen["RANK"], seen["WORLD_SIZE"], seen["NODE_RANK"]),
                             (str(rank), "2", "0"))
            self.assertEqual(seen["GROUP_WORLD_SIZE"], "1")
            self.assertEqual([name for name, value in seen.items() if value in ("77", "other")], [])
            self.assertEqual((seen["MY_SETTING"], seen["EMPTY"], seen["LINES"]),
                             ("kept", "", "one\ntwo"))

    def test_every_variable_is_documented(self):
        """docs/rank-environment.md names what a rank sees beyond its caller's, and nothing else."""
        page = (muster_test.SOURCE_DIR / "docs/rank-environment.md").read_text(encoding="utf-8")
        table = page.partition("## Every variable")[2].partition("\n## ")[0]
        documented = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
        self.assertGreater(len(documented), 30)
        unset = {name: None for name in documented}
        _, probes = self.run_probe(env=unset)
        given = set(probes[0]["environment"]) - set(self.environment(unset))
        if self.backend == "mpi":  # what mpirun says is not ours to list
            given = {name for name in given if not name.startswith(FROM_MPIRUN)}
            documented = {name for name in documented if not name.startswith(FROM_MPIRUN)}
        self.assertEqual(sorted(given - documented), [], "not in the page")
        self.assertEqual(sorted(documented - given), [], "in the page, but not given")

    def test_what_the_config_sets_wins(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
        config = ("environment:\n  variables: {OMP_NUM_THREADS: 3, NCCL_DEBUG: INFO, "
                  f"MASTER_PORT: {port}, FROM_CALLER: config, OWN: 'a b'}}\n")
        _, probes = self.run_probe(config=config, env={"OMP_NUM_THREADS": "5",
                                                       "FROM_CALLER": "caller"})
        for probe in probes:
            seen = probe["environment"]
            wanted = {"OMP_NUM_THREADS": "3", "NCCL_DEBUG": "INFO", "MASTER_PORT": port,
                      "AZ_BATCHAI_PYTORCH_INIT_METHOD": f"tcp://127.0.0.1:{port}",
                      "FROM_CALLER": "config",
                      "OWN": "a b"}
            self.assertEqual({name: seen.get(name) for name in wanted}, wanted)

    def test_defaults_give_way_to_the_caller(self):
        caller = {"OMP_NUM_THREADS": "5", "PYTHONUNBUFFERED": "", "NCCL_SOCKET_IFNAME": "eth7",
                  "NCCL_DEBUG": "TRACE"}
        _, probes = self.run_probe(env=caller)
        for probe in probes:
            self.assertEqual({name: probe["environment"].get(name) for name in caller}, caller)

    def test_omp_num_threads_is_the_ranks_share(self):
        result, probes = self.run_probe(env={"OMP_NUM_THREADS": None})
        plan = json.loads((result.run_directory / "plan.json").read_text(encoding="utf-8"))
        for placement, probe in zip(plan["ranks"], probes):
            threads = int(probe["environment"]["OMP_NUM_THREADS"])
            self.assertGreaterEqual(threads, 1)
            self.assertLessEqual(threads, max(placement["core_count"], 1))

    def test_a_constant_identity_in_the_config_is_refused(self):
        for name in ("RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK"):
            path = self.work_dir / "run.yaml"
            path.write_text(f"command: 'true'\nenvironment:\n  variables: {{{name}: 0}}\n",
                            encoding="utf-8")
            result = self.run_muster(["run", "--backend", self.backend, path])
            self.assert_code(result, 65)
            self.assertIn(name, result.stderr)
            self.assertIn("hint: ", result.stderr)

    def test_affinity_and_memory_are_as_planned_and_read_back(self):
        result, probes = self.run_probe()
        plan = json.loads((result.run_directory / "plan.json").read_text(encoding="utf-8"))
        ranks = result.run_json["attempts"][0]["ranks"]
        for placement, probe, recorded in zip(plan["ranks"], probes, ranks):
            if not placement["bound"]:
                self.skipTest("fewer cores than ranks: nothing is bound")
            self.assertEqual(probe["affinity"], parse_cpus(placement["cpuset"]))
            self.assertEqual(recorded["cpuset"], placement["cpuset"])
            refused = (recorded["binding_note"] or not probe["memory_policy"]
                       or muster_test.is_denied("set_mempolicy"))
            if placement["memory_nodes"] and not refused:
                self.assertIn(probe["memory_policy"]["mode"], PREFERRED)
                self.assertEqual(probe["memory_policy"]["nodes"],
                                 parse_cpus(placement["memory_nodes"]))

    def test_more_ranks_than_cores_are_unbound(self):
        count = len(os.sched_getaffinity(0)) + 1
        _, probes = self.run_probe(count, env={"OMP_NUM_THREADS": None})
        for probe in probes:
            self.assertEqual(probe["affinity"], sorted(os.sched_getaffinity(0)))
            self.assertEqual(probe["environment"]["OMP_NUM_THREADS"], "1")

    def test_process_state_is_that_of_a_fresh_program(self):
        _, probes = self.run_probe()
        for probe in probes:
            self.assertEqual(probe["pgid"], probe["pid"])  # a process group of its own
            self.assertEqual(probe["blocked_signals"], [])
            self.assertEqual(probe["ignored_signals"], [])
            self.assertEqual(probe["parent_death_signal"], 9)
            self.assertEqual(sorted(probe["fds"]), ["0", "1", "2"])
            self.assertEqual(probe["fds"]["0"], "/dev/null")
            self.assertRegex(probe["fds"]["1"], r"^pipe:")
            self.assertRegex(probe["fds"]["2"], r"^pipe:")
            self.assertNotEqual(probe["fds"]["1"], probe["fds"]["2"])
            self.assertEqual(probe["cwd"], os.path.realpath(self.work_dir))

    def test_arguments_arrive_as_they_were_given(self):
        words = ["a b", "", "*", "$HOME", "'", '"', "--", "-n", "é", "line\nbreak"]
        result = self.run_muster(["run", "-n", "2", "--backend", self.backend, "--console", "none",
                                  "--", program("rank_probe"), *words])
        self.assert_code(result, 0)
        for rank in range(2):
            self.assertEqual(json.loads(result.rank_bytes(rank))["argv"][1:], words)

    def test_limits_and_umask_are_the_callers(self):
        result = self.run_muster(
            ["run", "-n", "2", "--backend", self.backend, "--console", "none", "--",
             program("rank_probe")],
            prefix=["sh", "-c", 'ulimit -c 0; ulimit -Ss 4096; umask 027; exec "$@"', "sh"])
        self.assert_code(result, 0)
        for rank in range(2):
            probe = json.loads(result.rank_bytes(rank))
            self.assertEqual(probe["limits"]["core"][0], 0)
            self.assertEqual(probe["limits"]["stack"][0], 4096 * 1024)
            self.assertEqual(probe["umask"], 0o027)

    def test_an_agent_takes_three_mib_at_most(self):
        if SANITIZED or not re.search(r"rel", str(BIN_DIR), re.IGNORECASE):
            self.skipTest("a promise of the release build")
        running = self.start_muster(["run", "-n", "2", "--backend", self.backend, "--", "sleep",
                                     "600"])

        def agents():
            found = running.processes()
            sleeping = [each for each in found if each.argv[0] == "sleep"]
            own = [each for each in found if each.argv[0].endswith("muster-agent")]
            return own if len(sleeping) == 2 and len(own) == 2 else None

        for agent in muster_test.wait_until(agents, 30, "two agents with their ranks"):
            status = Path(f"/proc/{agent.pid}/status").read_text(encoding="utf-8")
            rss = int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1))
            self.assertLessEqual(rss, AGENT_RSS_KIB)
        running.send(15)
        self.assert_code(running.wait(), 143)


class DirectRanks(RankEnvironment, MusterTest):
    backend = "direct"

    def test_no_mpi_identity_is_invented(self):
        _, probes = self.run_probe()
        for probe in probes:
            identity = [name for name in probe["environment"]
                        if name.startswith(("OMPI_COMM_WORLD", "OMPI_UNIVERSE", "PMIX_", "PMI_"))]
            self.assertEqual(identity, [])

    def test_one_process_sees_the_same_names(self):
        result = self.run_muster(["run", "--", program("rank_probe")])
        self.assert_code(result, 0)
        seen = json.loads(result.rank_bytes(0))["environment"]
        self.assertEqual((seen["RANK"], seen["WORLD_SIZE"], seen["LOCAL_RANK"]), ("0", "1", "0"))


@needs_mpirun
class MpirunRanks(RankEnvironment, MusterTest):
    backend = "mpi"

    def test_mpi_identity_agrees_with_the_other_names(self):
        _, probes = self.run_probe(3)
        for rank, probe in enumerate(probes):
            seen = probe["environment"]
            wanted = {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "3",
                      "OMPI_COMM_WORLD_LOCAL_RANK": str(rank), "OMPI_COMM_WORLD_LOCAL_SIZE": "3",
                      "RANK": str(rank), "PMIX_RANK": str(rank)}
            self.assertEqual({name: seen.get(name) for name in wanted}, wanted)

    def test_what_only_mpirun_is_told_does_not_reach_the_ranks(self):
        result, probes = self.run_probe()
        plan = json.loads((result.run_directory / "plan.json").read_text(encoding="utf-8"))
        told = plan["mpirun"]["environment"]
        self.assertIn("HWLOC_COMPONENTS", told)
        for probe in probes:
            self.assertEqual([name for name in told if name in probe["environment"]], [])


if __name__ == "__main__":
    muster_test.main()
