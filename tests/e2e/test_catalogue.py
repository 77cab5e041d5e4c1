"""`muster runs` over many runs: what its catalogue remembers is what the files say."""

import json
import os
import shutil
from datetime import datetime, timedelta, timezone

import muster_test
from muster_test import MusterTest

START = datetime(2026, 11, 1, tzinfo=timezone.utc)


def moment(minutes):
    return (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Catalogue(MusterTest):
    def setUp(self):
        super().setUp()
        self.runs = self.directory / "many"
        self.catalogue = self.runs / ".muster-catalogue.db"

    def add(self, number, status="succeeded", **more):
        record = {"run_id": f"run-{number:05}", "status": status, "hostname": "host",
                  "created_at": moment(number), "started_at": moment(number),
                  "command_line": ["muster", "run", "x"],
                  "plan": {"world_size": 2, "argv": ["python3", f"{number}.py"]}, **more}
        if status != "running":
            record.update({"exit_code": 0 if status == "succeeded" else 7, "origin": "training",
                           "ended_at": moment(number + 1)})
        directory = self.runs / record["run_id"]
        directory.mkdir(parents=True, exist_ok=True)
        new = directory / "new"
        new.write_text(json.dumps(record), encoding="utf-8")
        os.replace(new, directory / "run.json")

    def listed(self, *args):
        result = self.run_muster(["runs", "--runs-dir", self.runs, "--json", *args])
        self.assert_code(result, 0)
        rows = json.loads(result.stdout)
        for row in rows:
            if row["ended_at"] is None:
                del row["duration_seconds"]  # until now
        return rows

    def test_many_runs(self):
        for number in range(1000):
            failure = {"rank": 1, "how": "exited", "value": 7, "origin": "training",
                       "description": "exited with 7"}
            if number % 10 == 3:
                self.add(number, "failed", first_failure=failure)
            else:
                self.add(number)
        self.add(1000, "running")
        cold = self.listed()
        self.assertEqual(len(cold), 1001)
        self.assertTrue(self.catalogue.exists())
        self.assertEqual(self.listed(), cold)
        self.assertEqual(cold[0]["run_id"], "run-01000")
        self.assertEqual(cold[0]["status"], "unknown")
        self.assertEqual(cold[-4]["first_failure"]["description"], "exited with 7")
        self.assertEqual(cold[1]["argv"], ["python3", "999.py"])
        self.assertEqual(cold[1]["duration_seconds"], 60)
        os.unlink(self.catalogue)
        self.assertEqual(self.listed(), cold)
        # Of runs that it knows nothing is read: garbage in the very same file goes unseen.
        record = self.runs / "run-00007/run.json"
        text = record.read_text(encoding="utf-8")
        facts = record.stat()
        record.write_text("x" * len(text), encoding="utf-8")
        os.utime(record, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        self.assertEqual(self.listed(), cold)
        record.write_text(text, encoding="utf-8")

        # What changed, came and went.
        self.add(1000, "failed")
        self.add(1001)
        shutil.rmtree(self.runs / "run-00500")
        now = self.listed()
        self.assertEqual([row["run_id"] for row in now[:2]], ["run-01001", "run-01000"])
        self.assertEqual(now[1]["status"], "failed")
        self.assertNotIn("run-00500", [row["run_id"] for row in now])
        self.assertEqual(now[2:], [row for row in cold[1:] if row["run_id"] != "run-00500"])
        self.assertEqual(len(self.listed("--status", "failed")), 101)

        # Damaged, it is made anew; held by another, it is not waited for.
        self.catalogue.write_bytes(b"no database" * 1000)
        self.assertEqual(self.listed(), now)
        self.assertEqual(self.listed(), now)
        text = self.run_muster(["runs", "--runs-dir", self.runs]).stdout
        self.assertEqual(len(text.splitlines()), 21)

    def test_few_runs_have_none(self):
        for number in range(10):
            self.add(number)
        self.assertEqual(len(self.listed()), 10)
        self.assertFalse(self.catalogue.exists())

    def test_since(self):
        for number in range(0, 300, 30):
            self.add(number)
        self.assertEqual([row["run_id"] for row in self.listed("--since", moment(240))],
                         ["run-00270", "run-00240"])
        result = self.run_muster(["runs", "--runs-dir", self.runs, "--since", "soon"])
        self.assert_code(result, 64)
        self.assertIn("neither a time nor a span", result.stderr)


if __name__ == "__main__":
    muster_test.main()
