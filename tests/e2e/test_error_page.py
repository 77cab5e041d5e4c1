"""docs/errors.md shows the commonest errors as the programs really print them.

Each case provokes one error with the built programs and compares what is printed with its section
of the page.  MUSTER_UPDATE_DOCS=1 rewrites the page; the diff is the review.  A case that cannot run
here is skipped, and its section stays as it is.
"""

import os
import re
import signal
import socket
import subprocess
import unittest
from pathlib import Path

import muster_test
from muster_test import MPIRUN, MUSTER, PYTHON, MusterTest, program, wait_until

PAGE = muster_test.SOURCE_DIR / "docs/errors.md"
UPDATE = os.environ.get("MUSTER_UPDATE_DOCS") == "1"

INTRODUCTION = """\
# Errors

The commonest errors, as the programs show them, with what to do where the message does not say it.
A test runs each of these commands and compares; only the machine's name, its paths and cgroups, times,
sizes and run ids are made up. [exit-codes.md](exit-codes.md) explains the codes.

Every message says what was tried, on what, why it failed, and what to do. When ranks ran,
`runs/<run id>` holds what each of them wrote (`ranks`), what mpirun said (`mpirun.log`), and the same
facts as data (`run.json`).
"""

CASES = []


class Case:
    """One section: how it comes about, and what stands around the output."""

    def __init__(self, title, command, code, files=None, advice="", **keywords):
        self.title = title
        self.command = command  # as a person types it
        self.code = code
        self.files = files or {}
        self.advice = advice
        self.keywords = keywords  # of run(): env, prefix, needs_mpirun, during, prepare, note
        CASES.append(self)


TRAIN = "print('epoch 1', flush=True)\n"
# Of a script: goes on when both ranks run, and the launcher has heard of it.
BOTH_RUN = """#!/bin/sh
: >running.$RANK
while [ ! -e running.0 ] || [ ! -e running.1 ]; do sleep 0.05; done
sleep 0.3
"""

Case("A key is misspelt", "muster validate run.yaml", 65,
     {"run.yaml": "entry_script: train.py\nproces_count_per_node: 2\n", "train.py": ""},
     show=["run.yaml"])
Case("The YAML cannot be read", "muster run run.yaml", 65,
     {"run.yaml": "command: python3 train.py\nscript_params: {--lr: 0.1\n"
                  "process_count_per_node: 2\n"},
     show=["run.yaml"])
Case("The config is not there", "muster run runs.yaml", 65, {"run.yaml": "command: 'true'\n"})
Case("The script is not there", "muster run run.yaml", 65,
     {"run.yaml": "source_directory: src\nentry_script: trian.py\n", "src/train.py": ""},
     show=["run.yaml"])
Case("A value does not fit", "muster run run.yaml", 65,
     {"run.yaml": "command: python3 train.py\ndistributed_backend: mpi\n"
                  "process_count_per_node: four\nlimits: {drain_timeout: 1 hour}\n"},
     show=["run.yaml"], advice="All errors of a config are shown at once.")
Case("Several processes, and nobody said how they are started", "muster run run.yaml", 65,
     {"run.yaml": "command: python3 train.py\nprocess_count_per_node: 2\n"}, show=["run.yaml"])
Case("Several processes with the backend for one",
     "muster run -n 2 --backend none -- python3 train.py", 65)
Case("A variable of the ranks' identity in the config", "muster run run.yaml", 65,
     {"run.yaml": "command: python3 train.py\nenvironment:\n  variables: {RANK: 0}\n"},
     show=["run.yaml"])
Case("A feature that this version lacks", "muster run run.yaml", 65,
     {"run.yaml": "command: python3 train.py\nrestarts: {max_restarts: 2}\n"},
     show=["run.yaml"])
Case("An input is misspelt", "muster run run.yaml", 65,
     {"run.yaml": "command: python3 train.py --lr ${{inputs.rate}}\ninputs: {rates: 0.1}\n"},
     show=["run.yaml"])
Case("More than one node", "muster run run.yaml", 64,
     {"run.yaml": "command: python3 train.py\nnode_count: 2\ndistributed_backend: mpi\n"},
     show=["run.yaml"])
Case("--set without a value", "muster run run.yaml --set limits.drain_timeout", 64,
     {"run.yaml": "command: 'true'\n"})
Case("--set with a key that is none", "muster run run.yaml --set drain_timeout=5s", 65,
     {"run.yaml": "command: 'true'\n"})
Case("An option is misspelt", "muster run --consol all run.yaml", 64)
Case("An option of torchrun that a run does not need", "muster run --rdzv_backend=etcd train.py", 64)
Case("Nothing to run", "muster run -n 2", 64)
Case("The run id is taken", "muster run --run-id first -- true", 73,
     prepare="muster run --run-id first -- true")
Case("The runs directory cannot be made", "muster run --runs-dir /proc/runs -- true", 73)
Case("The limit of open files is too low", "muster run -n 16 --backend direct -- true", 69,
     prefix=["sh", "-c", 'ulimit -n 40; exec "$@"', "sh"])
Case("There is no mpirun", "muster run -n 2 --backend mpi -- python3 train.py", 69, mpirun=None)
Case("The mpirun on PATH is another MPI's", "muster run -n 2 --backend mpi -- python3 train.py", 69,
     mpirun="echo 'HYDRA build details:'\necho '    Version:           4.0.2'\n")
Case("mpirun fails before the ranks run", "muster run -n 2 --backend mpi -- python3 train.py", 75,
     mpirun="[ \"$1\" = --version ] && echo 'mpirun (Open MPI) 4.1.4' && exit 0\n"
            "echo 'mpirun: error: a component could not be opened' >&2\nexit 213\n",
     advice="`mpirun.log` in the run directory has all that mpirun said.")
Case("The ranks do not start in time",
     "muster run -n 2 --backend mpi --set limits.join_timeout=1s -- python3 train.py", 75,
     mpirun="[ \"$1\" = --version ] && echo 'mpirun (Open MPI) 4.1.4' && exit 0\nexec sleep 60\n")
Case("The program is not found", "muster run -- train.py", 127,
     {"train.py": TRAIN})
Case("The script cannot be executed", "muster run -- ./train.py", 126, {"train.py": TRAIN})
Case("A Python exception", "muster run -n 2 --backend direct -- python3 train.py", 1,
     {"train.py": "import os, subprocess, time\nprint('epoch 1', flush=True)\n"
                  "subprocess.run('./both_run.sh')\n"
                  "if os.environ['RANK'] == '1':\n"
                  "    raise ValueError('loss is nan at step 1200')\ntime.sleep(30)\n",
      "both_run.sh": BOTH_RUN})
Case("A rank crashes", "muster run -n 2 --backend direct -- ./train.sh", 139,
     {"train.sh": BOTH_RUN + "[ $RANK = 0 ] || sleep 30\nkill -SEGV $$\n"},
     advice="`ulimit -c unlimited` before the start lets the kernel keep a core dump, where the "
            "system stores any (`core(5)`).")
Case("A rank is killed", "muster run -n 2 --backend direct -- ./train.sh", 137,
     {"train.sh": BOTH_RUN + "[ $RANK = 0 ] || sleep 30\nkill -KILL $$\n"},
     advice="When the kernel killed it because memory ran out, the report says so, with the limit.")
Case("mpirun is killed", "muster run -n 2 --backend mpi -- ./train.sh", 70,
     {"train.sh": BOTH_RUN + "[ $RANK = 0 ] || sleep 30\n"
                  "pid=$$\nwhile [ \"$(cat /proc/$pid/comm)\" != mpirun ]; do\n"
                  "  pid=$(awk '/^PPid/ { print $2 }' /proc/$pid/status)\ndone\n"
                  "kill -KILL $pid\nsleep 30\n"},
     needs_mpirun=True)
Case("The run takes too long",
     "muster run --set limits.max_run_duration_seconds=1 -- sleep 60", 124)
Case("Ctrl-C", "muster run -n 2 --backend direct -- ./train.sh", 130,
     {"train.sh": "#!/bin/sh\necho epoch 1\nexec sleep 60\n"}, during="interrupt")
Case("The disk fills up", "muster run --console none -- flood --bytes 400M", 73,
     small_disk=True)

PLACES = (
    # When mpirun is gone its agents end the ranks, unless our SIGTERM is there first.
    (re.compile(r"(mpirun was killed .*\n  both ranks were ended because of it: ).*"),
     r"\g<1>2 by SIGKILL"),
    # What can be proven about memory depends on the cgroups of the machine.
    (re.compile(r"^  (it was not|whether it was) killed for memory.*$", re.MULTILINE),
     "  it was not killed for memory: its memory cgroup /train counted no OOM kill while it ran, so "
     "the signal came from itself or from elsewhere (kill -9, a scheduler, a limit)"),
    # No space in the runs directory: numbers that differ from run to run.
    (re.compile(r"missing: \d+ bytes of (\S+) from offset \d+"),
     r"missing: 65536 bytes of \1 from offset 1572864"),
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "20261123-093000-1a2b"),
    (re.compile(r"(?<!SIGKILL )\bafter \d+(\.\d+)? m?s\b"), "after 1.2 s"),
)

SMALL_DISK = """
mkdir -p runs && mount -t tmpfs -o size=3m tmpfs runs || exit 97
exec "$@"
"""


class ErrorPage(MusterTest):
    sections = {}

    @classmethod
    def tearDownClass(cls):
        if not UPDATE:
            return
        old = sections_of(PAGE)
        texts = [cls.sections.get(case.title, old.get(case.title)) for case in CASES]
        PAGE.write_text("\n".join([INTRODUCTION, *(text for text in texts if text)]),
                        encoding="utf-8")

    def setUp(self):
        super().setUp()
        # A short name of its own: it is part of some messages before it is replaced.
        self.runs_dir = self.work_dir / "runs"

    def write(self, case):
        for name, text in case.files.items():
            path = self.work_dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            if name.endswith(".sh"):
                path.chmod(0o755)

    def path_for(self, mpirun):
        """A PATH with what the cases need, and this mpirun only."""
        directory = self.directory / "bin"
        directory.mkdir()
        for name in ("sh", "true", "sleep", "echo", "python3"):
            (directory / name).symlink_to(f"/usr/bin/{name}")
        if mpirun is not None:
            (directory / "mpirun").write_text("#!/bin/sh\n" + mpirun, encoding="utf-8")
            (directory / "mpirun").chmod(0o755)
        return str(directory)

    def run_case(self, case):
        keywords = case.keywords
        if keywords.get("needs_mpirun") and not MPIRUN:
            self.skipTest("no mpirun on PATH")
        if keywords.get("small_disk") and subprocess.run(
                ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(self.work_dir)],
                check=False, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no file system can be mounted")
        self.write(case)
        environment = {"MUSTER_RUNS_DIR": None, "NO_COLOR": "1"}
        if "mpirun" in keywords:
            environment["PATH"] = self.path_for(keywords["mpirun"])
        if "prepare" in keywords:
            self.assert_code(self.run_muster(keywords["prepare"].split()[1:], env=environment), 0)
        words = [program(word) if word == "flood" else word for word in case.command.split()[1:]]
        prefix = keywords.get("prefix", [])
        if keywords.get("small_disk"):
            prefix = ["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh"]
        running = self.start_muster(words, env=environment, prefix=prefix)
        if keywords.get("during") == "interrupt":
            logs = "runs/*/ranks/*/attempt-0/stdout.log"
            wait_until(lambda: sum(log.stat().st_size > 0 for log in self.work_dir.glob(logs)) == 2,
                       30, "both ranks' first line")
            wait_until(lambda: b"epoch" in running.output(), 30, "the first line on the console")
            running.send(signal.SIGINT)
        result = running.wait()
        self.assert_code(result, case.code)
        self.assert_nothing_left()
        return result

    def normal(self, text):
        text = text.replace(str(self.work_dir), "/srv/project")
        text = text.replace(str(self.directory / "bin/mpirun"), "/opt/mpi/bin/mpirun")
        text = text.replace(str(Path(MUSTER).parent), "/usr/bin")
        text = re.sub(rf"\b{re.escape(socket.gethostname())}\b", "node-a", text)
        text = re.sub(r"Open MPI [45]\.\d+\.\w+", "Open MPI 4.1.4", text)
        for pattern, replacement in PLACES:
            text = pattern.sub(replacement, text)
        return text

    def section_for(self, case, result):
        lines = [f"## {case.title}", ""]
        for name in case.keywords.get("show", []):
            lines += ["```yaml", f"# {name}", case.files[name].rstrip("\n"), "```", ""]
        output = self.normal(as_shown(result)).rstrip("\n")
        lines += ["```", f"$ {case.command}", output, "```", ""]
        lines += [f"Exit code {case.code}." + (f" {case.advice}" if case.advice else ""), ""]
        return "\n".join(lines)

    def check(self, case):
        section = self.section_for(case, self.run_case(case))
        if UPDATE:
            self.sections[case.title] = section
            return
        self.assertEqual(sections_of(PAGE).get(case.title), section,
                         "docs/errors.md shows something else; when the new text is right, "
                         "MUSTER_UPDATE_DOCS=1 rewrites the page")

    def test_the_page_has_these_sections_and_no_others(self):
        if UPDATE:
            self.skipTest("the page is being rewritten")
        self.assertEqual(list(sections_of(PAGE)), [case.title for case in CASES])
        self.assertTrue(PAGE.read_text(encoding="utf-8").startswith(INTRODUCTION))
        self.assertGreaterEqual(len(CASES), 25)


def as_shown(result):
    """Muster's first line comes before what ranks wrote to stdout, as on a terminal."""
    if not result.stdout:
        return result.stderr
    first, newline, rest = result.stderr.partition("\n")
    return first + newline + result.stdout + rest


def sections_of(page):
    """Title → text, in the order of the page."""
    if not page.exists():
        return {}
    parts = re.split(r"^(?=## )", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part.splitlines()[0][3:]: part.rstrip("\n") + "\n" for part in parts}


def test_of(case):
    def test(self):
        self.check(case)
    return test


for each in CASES:
    name = "test_" + re.sub(r"\W+", "_", each.title.lower()).strip("_")
    setattr(ErrorPage, name, test_of(each))


if __name__ == "__main__":
    muster_test.main()
