"""`muster verify`: it judges every append-only stream of a run, while the run goes on and after it,
here and at a collector."""

import json
import os
import signal

import muster_test
from muster_test import MusterTest, wait_until
from test_collector import CollectorTest as WithCollector

WRITES = ("import os, time; os.write(1, b'out\\n'); os.write(2, b'err\\n');"
          "open(os.environ['MUSTER_METRICS'], 'w').write('loss 0.5 1\\n');")


class Verify(MusterTest):
    def verify(self, directory, code=0):
        done = self.run_muster(["verify", "--json", str(directory)])
        self.assert_code(done, code)
        check = json.loads(done.stdout)
        return check, {stream["path"]: stream["state"] for stream in check["streams"]}

    def test_every_stream_of_a_run_has_an_end(self):
        running = self.start_muster(
            ["run", "-n", "2", "--backend", "direct", "--run-id", "r", "--", muster_test.PYTHON,
             "-c", WRITES + "time.sleep(2.2)"])
        run = self.runs_dir / "r"
        node_metrics = run / "node_metrics"
        wait_until(lambda: node_metrics.is_dir() and any(node_metrics.iterdir()), 20, "metrics")
        check, states = self.verify(run)
        self.assertTrue(check["growing"] and check["ok"])
        self.assertEqual(set(states.values()), {"growing"})
        self.assert_code(running.wait(), 0)
        check, states = self.verify(run)
        self.assertFalse(check["growing"])
        self.assertEqual(set(states.values()), {"ok"}, states)
        of_node = next(node_metrics.iterdir()).name.removesuffix(".jsonl")
        self.assertLessEqual(
            {"events.jsonl", f"launcher/{of_node}.log", f"node_metrics/{of_node}.jsonl",
             "ranks/00001/attempt-0/stdout.log", "ranks/00001/attempt-0/stdout.log.index",
             "ranks/00001/attempt-0/metrics.jsonl"}, set(states))
        with open(run / "events.jsonl", "ab") as file:
            file.write(b"{}\n")
        check, states = self.verify(run, 70)
        self.assertEqual(states["events.jsonl"], "wrong")

    def test_a_run_that_was_detached_or_failed_has_its_ends(self):
        detached = self.run_muster(["run", "--detach", "--run-id", "d", "--", "/bin/sh", "-c",
                                    "echo out; sleep 0.3"])
        self.assert_code(detached, 0)
        failed = self.run_muster(["run", "--run-id", "f", "--", "/nonexistent/program"])
        self.assert_code(failed, 127)
        for name in "df":
            wait_until(lambda: not self.verify(self.runs_dir / name)[0]["growing"], 20, "its end")
            _, states = self.verify(self.runs_dir / name)
            self.assertEqual(set(states.values()), {"ok"}, states)


class AtACollector(WithCollector):
    def test_both_stores_judge_every_stream(self):
        relay, address = self.start_relay()
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--run-id", "r",
                                  "--collector", address, "--", muster_test.PYTHON, "-c", WRITES])
        self.assert_code(result, 0)
        self.end_relay(relay)
        for store in (result.run_directory, self.store / "r"):
            check = json.loads(self.run_muster(["verify", "--json", str(store)]).stdout)
            states = {stream["path"]: stream["state"] for stream in check["streams"]}
            self.assertEqual(set(states.values()), {"ok"}, states)
            self.assertIn("events.jsonl", states)

    def test_what_a_machine_had_not_on_its_disk_is_uncertain(self):
        """As the directory looks after a power cut: another boot, a hole, a torn record."""
        relay, address = self.start_relay()
        running = self.start_muster(
            ["run", "--backend", "direct", "-n", "1", "--run-id", "c", "--console", "none", "--",
             muster_test.PYTHON, "-c",
             "import time\nfor i in range(10**9):\n print(i, flush=True); time.sleep(0.01)"])
        run = self.runs_dir / "c"
        name = "ranks/00000/attempt-0/stdout.log"
        durable = run / ".muster/durable.json"
        wait_until(durable.exists, 20, "the first sync")
        certain = json.loads(durable.read_text())["streams"][name]
        wait_until(lambda: (run / name).stat().st_size > certain, 20, "more lines")
        os.kill(running.pid, signal.SIGKILL)
        running.process.wait(20)
        wait_until(lambda: {each.pid for each in self.processes()} <= {relay.pid}, 20, "its ranks")
        state = json.loads(durable.read_text())
        state["boot_id"] = "another"
        durable.write_text(json.dumps(state))
        with open(run / name, "ab") as file:
            file.truncate(16384)
            file.seek(0, os.SEEK_END)
            file.write(b"last\n")
        with open(run / "events.jsonl", "ab") as file:
            file.write(b'{"event":"to\0\n')

        check = json.loads(self.run_muster(["verify", "--json", str(run)]).stdout)
        self.assertTrue(check["ok"] and check["machine_ended"])
        stdout = {each["path"]: each for each in check["streams"]}[name]
        self.assertEqual((stdout["state"], stdout["uncertain"]),
                         ("ends_unknown", 16389 - certain))
        synced = self.run_muster(["sync", str(run), "--collector", address])
        self.assert_code(synced, 0)
        self.end_relay(relay)
        for store in (run, self.store / "c"):
            check = json.loads(self.run_muster(["verify", "--json", str(store)]).stdout)
            self.assertEqual(check["problems"], [])
            stdout = {each["path"]: each for each in check["streams"]}[name]
            self.assertEqual(stdout["state"], "ok")
            self.assertGreaterEqual(stdout["missing"], 8192)
            self.assertTrue(stdout["missing_more"])
            self.assertNotIn(b"to\0", (store / "events.jsonl").read_bytes())
        self.assertIn("bytes uncertain", self.run_muster(["verify", str(run)]).stdout)


del WithCollector

if __name__ == "__main__":
    muster_test.main()
