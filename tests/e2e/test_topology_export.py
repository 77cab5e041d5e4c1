"""muster topo --export: a file that plans the same, and carries nobody's serial numbers."""

import html
import json
import os
import re

import muster_test

TOPOLOGIES = os.path.join(os.path.dirname(__file__), "..", "data", "topologies")
SECRETS = {
    "DMIProductSerial": "SERIAL-4711", "DMIProductUUID": "03000200-0400-0500-0006-000700080009",
    "DMIChassisAssetTag": "ASSET-0815", "Address": "00:11:22:33:44:55",
    "NodeGUID": "b859:9f03:00aa:bbcc", "Port1GID0": "fe80:0000:0000:0000:b859:9f03:00aa:bbcd",
    "NVIDIASerial": "1320220012345", "NVIDIAUUID": "GPU-5ec4e700-1111-2222-3333-444455556666",
    "LinuxCgroup": "/user.slice/user-1000.slice", "SomethingNew": "a > b \"nobody\" knows",
}


def doctored(text):
    """With every secret on the machine, on a package and on each device."""
    facts = "".join(f'<info name="{name}" value="{html.escape(value)}"/>\n'
                    for name, value in SECRETS.items())
    facts += '<info name="HostName" value="secret-host"/>\n'
    return re.sub(r'(<object type="(?:Machine|Package|OSDev|PCIDev)"[^>]*[^/>]>)',
                  lambda tag: tag.group(1) + "\n" + facts, text)


class ExportTest(muster_test.MusterTest):
    def plan(self, *words):
        result = self.run_muster(["plan", "-n", "2", "--backend", "direct", "--json", *words,
                                  "--", "true"])
        self.assertEqual(result.code, 0, result.stderr)
        plan = json.loads(result.stdout)
        text = json.dumps([plan[key] for key in ("nodes", "ranks", "oversubscribed")])
        return re.sub(r"(GPU|MIG)-[0-9a-zA-Z-]+", "UUID", text)

    def export(self, name, *words):
        result = self.run_muster(["topo", "--export", name, *words])
        self.assertEqual(result.code, 0, result.stderr)
        with open(os.path.join(self.work_dir, name), encoding="utf-8") as file:
            return file.read()

    def assert_refused(self, words, message):
        result = self.run_muster(["topo", *words])
        self.assertEqual((result.code, result.stdout), (64, ""))
        self.assertIn(message, result.stderr)
        self.assertIn("hint: ", result.stderr)

    def test_it_is_told_or_goes_to_stdout(self):
        result = self.run_muster(["topo", "--export", "node.xml"])
        self.assertEqual(result.stdout, "wrote node.xml\n")
        text = (self.work_dir / "node.xml").read_text(encoding="utf-8")
        self.assertEqual(self.run_muster(["topo", "--export", "-"]).stdout, text)

    def test_what_would_be_ignored_is_refused(self):
        self.assert_refused(["--anonymous"], "--anonymous is of --export")
        self.assert_refused(["--export", "node.xml", "--format", "json"],
                            "--export writes hwloc XML, and no --format json")
        for words in ([], ["--export", "node.xml"]):
            self.assert_refused(["--topology", "a.xml", "--topology", "b.xml", *words],
                                "--topology is given 2 times: a.xml, b.xml")

    def test_a_live_export_plans_the_same(self):
        self.export("node.xml")
        self.assertEqual(self.plan("--topology", "node.xml"), self.plan())

    def test_a_recorded_machine_plans_the_same_after_export(self):
        for name in ("hgx-h100-snc2", "mig-4x2", "cgroup-half", "nd-a100-v4-flat"):
            with self.subTest(name):
                file = os.path.abspath(os.path.join(TOPOLOGIES, name + ".xml"))
                self.export(name + ".xml", "--topology", file)
                self.assertEqual(self.plan("--topology", name + ".xml"),
                                 self.plan("--topology", file))

    def test_no_secret_is_in_it(self):
        with open(os.path.join(TOPOLOGIES, "dgx-a100.xml"), encoding="utf-8") as file:
            text = doctored(file.read())
        with open(os.path.join(self.work_dir, "doctored.xml"), "w", encoding="utf-8") as file:
            file.write(text)
        exported = self.export("clean.xml", "--topology", "doctored.xml")
        for name, value in SECRETS.items():
            self.assertIn(name, text)
            self.assertNotIn(value, exported)
            self.assertNotIn(name, exported.replace("MusterDevices", ""))
        self.assertIn("secret-host", exported)
        self.assertNotIn("secret-host",
                         self.export("nobody.xml", "--anonymous", "--topology", "doctored.xml"))

    def test_a_file_that_exists_is_not_replaced(self):
        self.export("node.xml")
        result = self.run_muster(["topo", "--export", "node.xml"])
        self.assertEqual(result.code, 64)
        self.assertIn("node.xml exists, and is not replaced", result.stderr)


if __name__ == "__main__":
    muster_test.main()
