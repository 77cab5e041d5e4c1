#!/usr/bin/python3
"""Checks what the compiler does not: who includes whom, where heavy headers live, paths in files.

    source_rules.py ROOT    prints one line for each violation; ends with 1 when there is any

The floors are those of the design: an include points to a lower floor or stays in its own folder.
test_source_rules.py shows that each rule can fail.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Folder -> floor.  Folders of one floor do not know each other.
FLOORS = {
    "include/muster": 0,
    "base": 1,
    "protocol": 2,
    "launcher/config": 3,
    "launcher/cluster": 3,
    "launcher/topology": 3,
    "collector/store": 3,
    "collector/sqlite": 3,
    "collector/replication": 4,
    "collector/outputs": 4,
    "collector/metrics": 4,
    "collector/catalogue": 4,
    "collectives": 3,
    "launcher/plan": 4,
    "launcher/link": 5,
    "launcher/data": 6,
    "launcher/exec": 6,
    "launcher/python_env": 6,
    "launcher/report": 6,
    "collector/http": 6,
    "launcher/cli": 7,
    "rank_agent": 7,
    "collectives/perf": 7,
}

# The agent is small because it stands on these alone.
AGENT_MAY_INCLUDE = {"rank_agent", "protocol", "base", "include/muster"}

ASIO_HEADER = "base/asio.h"

# Start of an included name -> (what it is, the only folders whose .cc files may include it).
# None: any folder's .cc files.
HEAVY = {
    "hwloc": ("hwloc", ("launcher/topology",)),
    "yaml-cpp/": ("yaml-cpp", None),
    "nlohmann/": ("nlohmann/json", None),
    "cxxopts": ("cxxopts", None),
    "pugixml": ("pugixml", ("launcher/topology",)),
    "openssl/": ("OpenSSL", ("collector/replication",)),
    "sqlite3": ("SQLite", ("collector/sqlite",)),
    "re2/": ("RE2", ("collector/metrics", "launcher/config", "launcher/report")),
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)

# Home directories and workplaces of one machine.
MACHINE_PATH = re.compile(r"(?<![\w./})-])/(?:root|work|home/\w+|Users/\w+|tmp/build-\w+)/[\w.-]")

SOURCES = (".cc", ".cpp", ".h", ".hpp", ".c")
NOT_CODE_OF_OURS = ("tests/", "benchmarks/", "examples/", "docs/")


def files_of(root):
    """Every file that is, or would be, under version control; relative, with forward slashes."""
    listed = None
    if (root / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others",
             "--exclude-standard"], capture_output=True, check=False)
    if listed is not None and listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
    else:
        names = [path.relative_to(root).as_posix() for path in root.rglob("*")
                 if path.relative_to(root).parts[0] not in ("build", "runs", ".git")]
    return sorted(name for name in names if name and (root / name).is_file())


def folder_of(path):
    """The folder of FLOORS that a file lies in; None outside of them."""
    fitting = [folder for folder in FLOORS if path.startswith(folder + "/")]
    return max(fitting, key=len, default=None)


def resolve(root, source, name):
    """The file of ours that an include means, relative to the root; None when it is not ours."""
    for candidate in (Path(source).parent / name, Path("include") / name, Path(name)):
        normal = os.path.normpath(candidate)
        if (root / normal).is_file():
            return normal
    if name.endswith(".pb.h"):  # generated while building, from protocol/*.proto
        return os.path.join("protocol", os.path.basename(name))
    return None


class Checker:
    def __init__(self, root):
        self.root = Path(root)
        self.violations = []

    def report(self, path, line, text):
        self.violations.append(f"{path}:{line}: {text}")

    def check(self):
        names = files_of(self.root)
        for name in names:
            text = (self.root / name).read_bytes().decode("utf-8", "surrogateescape")
            if "\0" not in text:
                self.check_paths(name, text)
            if name.endswith(SOURCES):
                self.check_includes(name, text)
        if not any(name.endswith(SOURCES) for name in names):
            self.report(self.root, 0, "no source file found: nothing was checked")
        return self.violations

    def check_paths(self, name, text):
        for match in MACHINE_PATH.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            self.report(name, line, f"path of one machine: {match.group()}…")

    def check_includes(self, name, text):
        includes = [(text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2))
                    for match in INCLUDE.finditer(text)]
        for line, bracket, included in includes:
            self.check_asio(name, line, included, includes)
            self.check_heavy(name, line, included)
            if not name.startswith(NOT_CODE_OF_OURS):
                self.check_floor(name, line, bracket, included)

    def check_asio(self, name, line, included, includes):
        if not included.startswith(("boost/asio", "boost/beast")) and included != "asio.hpp":
            return
        if name != ASIO_HEADER:
            self.report(name, line, f"includes {included}; only {ASIO_HEADER} may")
        elif includes[0][2] != "utility":
            self.report(name, line, f"includes {included}, but <utility> must be the first include")

    def check_heavy(self, name, line, included):
        for start, (what, folders) in HEAVY.items():
            if not included.startswith(start):
                continue
            if name.endswith((".h", ".hpp")):
                self.report(name, line, f"a header includes {included}: {what} is for .cc files")
            elif name.startswith(NOT_CODE_OF_OURS) or folders is None:
                continue
            elif folder_of(name) not in folders:
                self.report(name, line, f"includes {included}; only {', '.join(folders)} may")

    def check_floor(self, name, line, bracket, included):
        target = resolve(self.root, name, included)
        if target is None:
            if bracket == '"':
                self.report(name, line, f'includes "{included}", which is not in this repository')
            return
        source_folder, target_folder = folder_of(name), folder_of(target)
        if source_folder is None:
            self.report(name, line, "lies in a folder that has no floor; give it one in FLOORS")
        elif target_folder is None:
            self.report(name, line, f"includes {included}, which lies in no folder with a floor")
        elif source_folder == "rank_agent" and target_folder not in AGENT_MAY_INCLUDE:
            self.report(name, line, f"includes {included}; the agent stands on "
                                    "protocol, base and include/muster alone")
        elif source_folder != target_folder and FLOORS[target_folder] >= FLOORS[source_folder]:
            self.report(name, line, f"includes {included}: {source_folder} (floor "
                                    f"{FLOORS[source_folder]}) may not know {target_folder} (floor "
                                    f"{FLOORS[target_folder]})")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: source_rules.py ROOT")
    violations = Checker(sys.argv[1]).check()
    for violation in violations:
        print(violation)
    if violations:
        sys.exit(1)


if __name__ == "__main__":
    main()
