"""Every command that shows something has --json, with the fields that docs/json.md names."""

import json
import re
from pathlib import Path

import muster_test
from muster_test import MusterTest

PAGE = Path(__file__).resolve().parents[2] / "docs/json.md"


def documented():
    """Of each command the fields before the first `;` of its row."""
    rows = {}
    for name, fields in re.findall(r"^\| `muster (\w+) --json` \| [^|]+ \| ([^|]+) \|$",
                                   PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        rows[name] = set(re.findall(r"`(\w+)`", fields.split(";")[0]))
    return rows


class Json(MusterTest):
    def setUp(self):
        super().setUp()
        self.result = self.run_muster(["run", "--", "sh", "-c", """
            echo hello; echo "loss 0.5 1" > "$MUSTER_METRICS"; mkdir outputs; echo x > outputs/x"""])
        self.assert_code(self.result, 0)
        (self.work_dir / "datastores.yaml").write_text("datastores: {}\n", encoding="utf-8")

    def top(self, *words):
        result = self.run_muster([*words])
        self.assert_code(result, 0)
        if words[0] == "logs":
            return json.loads(result.stdout.splitlines()[0])
        parsed = json.loads(result.stdout)
        return parsed[0] if isinstance(parsed, list) and parsed else parsed

    def test_every_command_prints_what_the_page_names(self):
        words = {"plan": ["--", "true"], "validate": ["--", "true"],
                 "download": ["latest", "x", self.directory / "to"]}
        page = documented()
        self.assertEqual(len(page), 14, sorted(page))
        for command, fields in page.items():
            with self.subTest(command):
                printed = self.top(command, "--json", *words.get(command, []))
                if command == "cache" and printed == []:
                    continue  # nothing was downloaded
                self.assertEqual(set(printed), fields)

    def test_no_other_command_has_it_and_every_one_of_them_says_so(self):
        listed = re.findall(r"^  (\w+)  ", self.run_muster(["--help"]).stdout, re.MULTILINE)
        without = set(listed) - set(documented())
        self.assertEqual(without, {"run", "convert", "cancel", "attach", "completion"})
        for command in sorted(without):
            with self.subTest(command):
                self.assert_code(self.run_muster([command, "--json", "x"]), 64)

    def test_the_fields_of_lists(self):
        [metric] = self.top("metrics", "--json", "--name", "loss")["metrics"]
        self.assertEqual(set(metric), {"name", "labels", "source", "count", "last_step", "last",
                                       "ranks"})
        [file] = self.top("files", "--json")["files"]
        self.assertEqual(file["kind"], "whole")
        self.assertEqual(len(file["xxh3"]), 32)
        first = self.top("download", "--json", "x", self.directory / "a")
        self.assertEqual([(each["target"], each["state"]) for each in first["files"]],
                         [("a", "copied")])
        again = self.top("download", "--json", "latest", "x", self.directory / "a")
        self.assertEqual(again["files"][0]["state"], "there")
        self.assertTrue(self.top("verify", "--json")["ok"])
        self.assertEqual(self.top("runs", "--json")["missing"]["files_not_stored"], 0)
        self.assertEqual(self.top("token", "--json", "--output", self.directory / "t"),
                         {"token_file": str(self.directory / "t")})

    def test_errors_are_text_and_a_code(self):
        for words in (["logs", "--json", "nobody"], ["metrics", "--json", "nobody"],
                      ["download", "--json", "latest", "nothing"], ["verify", "--json", "nobody"],
                      ["download", "--json", "latest", "x", "-"]):
            result = self.run_muster(words)
            self.assert_code(result, 64)
            self.assertEqual(result.stdout, "")
            self.assertNotEqual(result.stderr, "")
        away = f"unix:{self.directory}/nobody"
        result = self.run_muster(["sync", "--json", "--collector", away, "--patience", "100ms",
                                  str(self.result.run_directory)])
        self.assert_code(result, 76)
        [row] = json.loads(result.stdout)["runs"]
        self.assertFalse(row["delivered"])
        self.assertIn("not at the collector", row["problem"])


if __name__ == "__main__":
    muster_test.main()
