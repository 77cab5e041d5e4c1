#!/usr/bin/python3
"""The rules of source_rules.py find a violation of each kind, and none where there is none."""

import tempfile
import unittest
from pathlib import Path

import source_rules

CLEAN = {
    "include/muster/result.h": "#pragma once\n#include <string>\n",
    "base/fd.h": '#include "muster/result.h"\n',
    "base/asio.h": "#include <utility>\n\n#include <boost/asio.hpp>\n",
    "base/fd.cc": '#include "base/fd.h"\n#include "base/asio.h"\n',
    "protocol/channel.h": '#include "base/fd.h"\n#include "node.pb.h"\n',
    "launcher/config/run_config.h": "#include <muster/result.h>\n",
    "launcher/config/read.cc": '#include "launcher/config/run_config.h"\n'
                               "#include <yaml-cpp/yaml.h>\n",
    "launcher/topology/discover.cc": "#include <hwloc.h>\n",
    "launcher/plan/plan.h": '#include "launcher/config/run_config.h"\n',
    "launcher/exec/run.h": '#include "launcher/plan/plan.h"\n',
    "launcher/report/report.h": '#include "launcher/plan/plan.h"\n',
    "launcher/cli/main.cc": '#include "launcher/exec/run.h"\n#include "launcher/report/report.h"\n'
                            "#include <cxxopts.hpp>\n",
    "rank_agent/main.cc": '#include "binding.h"\n#include "protocol/channel.h"\n',
    "rank_agent/binding.h": '#include "base/fd.h"\n',
    "tests/unit/plan/plan_test.cc": '#include "launcher/plan/plan.h"\n'
                                    "#include <nlohmann/json.hpp>\n",
    "README.md": "Call /usr/bin/python3, look into /tmp/x and https://example.org/home/page/.\n",
}


def violations_with(changes):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**CLEAN, **changes}.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return source_rules.Checker(folder).check()


class SourceRules(unittest.TestCase):
    def expect_one(self, changes, place, words):
        found = violations_with(changes)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(place + ": "), found[0])
        self.assertIn(words, found[0])

    def test_accepts_a_tree_without_violation(self):
        self.assertEqual(violations_with({}), [])

    def test_reports_an_include_that_points_up(self):
        self.expect_one({"base/fd.cc": '#include <string>\n#include "protocol/channel.h"\n'},
                        "base/fd.cc:2", "base (floor 1) may not know protocol (floor 2)")

    def test_reports_a_plan_that_knows_an_effect(self):
        self.expect_one({"launcher/plan/plan.cc": '#include "launcher/exec/run.h"\n'},
                        "launcher/plan/plan.cc:1", "may not know launcher/exec")

    def test_reports_exec_that_includes_report_and_the_reverse(self):
        self.expect_one({"launcher/exec/run.cc": '#include "launcher/report/report.h"\n'},
                        "launcher/exec/run.cc:1", "may not know launcher/report")
        self.expect_one({"launcher/report/report.cc": '#include "launcher/exec/run.h"\n'},
                        "launcher/report/report.cc:1", "may not know launcher/exec")

    def test_reports_an_include_relative_to_its_folder(self):
        self.expect_one({"launcher/plan/plan.cc": '#include "../exec/run.h"\n'},
                        "launcher/plan/plan.cc:1", "may not know launcher/exec")

    def test_reports_an_include_in_angle_brackets(self):
        self.expect_one({"base/fd.cc": "#include <protocol/channel.h>\n"},
                        "base/fd.cc:1", "may not know protocol")

    def test_reports_an_agent_that_knows_a_plan(self):
        self.expect_one({"rank_agent/main.cc": '#include "launcher/plan/plan.h"\n'},
                        "rank_agent/main.cc:1", "the agent stands on")

    def test_reports_asio_outside_its_header(self):
        self.expect_one({"launcher/exec/run.cc": "#include <boost/asio/io_context.hpp>\n"},
                        "launcher/exec/run.cc:1", "only base/asio.h may")
        self.expect_one({"tests/unit/x_test.cc": "#include <boost/asio.hpp>\n"},
                        "tests/unit/x_test.cc:1", "only base/asio.h may")

    def test_reports_asio_before_utility(self):
        self.expect_one({"base/asio.h": "#include <boost/asio.hpp>\n#include <utility>\n"},
                        "base/asio.h:1", "<utility> must be the first include")

    def test_reports_each_heavy_header_in_a_header(self):
        for heavy in ("hwloc.h", "yaml-cpp/yaml.h", "nlohmann/json.hpp", "cxxopts.hpp"):
            with self.subTest(heavy):
                self.expect_one({"launcher/topology/node.h": f"#include <{heavy}>\n"},
                                "launcher/topology/node.h:1", f"a header includes {heavy}")

    def test_reports_hwloc_outside_topology(self):
        self.expect_one({"launcher/exec/bind.cc": "#include <hwloc.h>\n"},
                        "launcher/exec/bind.cc:1", "only launcher/topology may")

    def test_reports_an_include_that_is_nowhere(self):
        self.expect_one({"base/fd.cc": '#include "base/gone.h"\n'},
                        "base/fd.cc:1", "not in this repository")

    def test_reports_a_folder_without_a_floor(self):
        self.expect_one({"launcher/stray/x.cc": '#include "base/fd.h"\n'},
                        "launcher/stray/x.cc:1", "has no floor")

    def test_reports_a_path_of_one_machine(self):
        for folder in ("root", "work", "home/jane", "tmp/build-x"):
            with self.subTest(folder):
                self.expect_one({"scripts/x": f"line\ncd /{folder}/muster\n"},
                                "scripts/x:2", "path of one machine")

    def test_reports_a_tree_without_sources(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("nothing was checked", source_rules.Checker(folder).check()[0])


if __name__ == "__main__":
    unittest.main()
