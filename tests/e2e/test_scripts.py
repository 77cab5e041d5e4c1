"""The scripts do what they say, with stand-ins for what they would start."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import muster_test

SCRIPTS = muster_test.SOURCE_DIR / "scripts"
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'


class ScriptTest(unittest.TestCase):
    """A directory with stand-ins for programs; each call of one is a line of calls()."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="muster-test-")
        self.addCleanup(folder.cleanup)
        self.directory = Path(folder.name)
        self.tools = self.directory / "tools"
        self.tools.mkdir()
        self.log = self.directory / "calls"

    def write_script(self, path, body):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{path.name} $*" >>{self.log}\n{body}\n')
        path.chmod(0o755)

    def tool(self, name, body="exit 0"):
        self.write_script(self.tools / name, body)

    def real_tool(self, *names):
        for name in names:
            (self.tools / name).symlink_to(shutil.which(name))

    def calls(self):
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []

    def run_script(self, path, *args, **variables):
        environment = {"PATH": str(self.tools), "HOME": str(self.directory), **variables}
        return subprocess.run([str(path), *args], env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60, check=False)


class Setup(ScriptTest):
    """Its PATH holds the stand-ins alone, so that it cannot reach the real apt-get."""

    def setUp(self):
        super().setUp()
        self.real_tool("cat", "env")
        self.os_release = self.directory / "os-release"
        self.os_release.write_text(DEBIAN, encoding="utf-8")
        self.tool("apt-get")
        self.user(0)

    def user(self, number):
        self.tool("id", f"echo {number}")

    def packages_are(self, status, but=None):
        """Answers dpkg-query: every package has the status, except that `but` = (name, status)."""
        name, other = but or ("", "")
        self.tool("dpkg-query", f'shift 2; for p do [ "$p" = "{name}" ] && echo "$p {other}" '
                                f'|| echo "$p {status}"; done')

    def setup(self, *args):
        return self.run_script(SCRIPTS / "setup", *args, MUSTER_OS_RELEASE=str(self.os_release))

    def installations(self):
        return [call for call in self.calls() if call.startswith("apt-get")]

    def test_is_silent_and_touches_nothing_when_there_is_nothing_to_do(self):
        self.packages_are("installed")
        result = self.setup()
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertEqual(self.installations(), [])

    def test_says_what_is_missing_and_installs_only_that(self):
        self.packages_are("installed", but=("libfmt-dev", "config-files"))
        result = self.setup()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout, "scripts/setup: installing libfmt-dev\n")
        self.assertEqual(self.installations(),
                         ["apt-get -q update",
                          "apt-get install -q -y --no-install-recommends libfmt-dev"])

    def test_takes_a_package_that_dpkg_does_not_know_for_missing(self):
        self.tool("dpkg-query", "exit 1")
        self.assertEqual(self.setup("--for", "build").returncode, 0)
        packages = self.setup("--for", "build", "--list").stdout.split()
        self.assertEqual(self.installations()[-1].split()[5:], packages)

    def test_does_not_take_a_package_for_another_with_a_longer_name(self):
        self.packages_are("installed", but=("python3", "not-installed"))
        self.assertEqual(self.setup().stdout, "scripts/setup: installing python3\n")

    def test_fails_when_the_installation_fails(self):
        self.packages_are("not-installed")
        self.tool("apt-get", "exit 100")
        self.assertEqual(self.setup().returncode, 100)

    def assert_line_to_run(self, result, package):
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        line = result.stderr.splitlines()[-1].strip()
        self.assertTrue(line.startswith("apt-get update && apt-get install -y "), result.stderr)
        self.assertIn(package, line.split())
        self.assertIn("nothing was changed", result.stderr)
        self.assertEqual(self.installations(), [])

    def test_prints_the_line_to_run_without_root_and_without_sudo(self):
        self.packages_are("not-installed")
        self.user(1000)
        self.assert_line_to_run(self.setup(), "cmake")

    def test_prints_the_line_to_run_when_sudo_would_ask_for_a_password(self):
        self.packages_are("not-installed")
        self.user(1000)
        self.tool("sudo", "exit 1")
        self.assert_line_to_run(self.setup(), "cmake")

    def test_uses_sudo_that_does_not_ask(self):
        self.packages_are("installed", but=("cmake", "not-installed"))
        self.user(1000)
        self.tool("sudo", 'shift; [ "$1" = true ] || exec "$@"')
        self.real_tool("true")
        self.assertEqual(self.setup().returncode, 0)
        self.assertEqual(self.installations()[-1],
                         "apt-get install -q -y --no-install-recommends cmake")
        self.assertIn("sudo -n apt-get -q update", self.calls())

    def test_needs_no_root_when_there_is_nothing_to_do(self):
        self.packages_are("installed")
        self.user(1000)
        self.assertEqual(self.setup().returncode, 0)

    def test_prints_the_line_to_run_on_an_unknown_system(self):
        self.packages_are("not-installed")
        self.os_release.write_text("ID=plan9\nVERSION_ID=4\n", encoding="utf-8")
        result = self.setup()
        self.assert_line_to_run(result, "cmake")
        self.assertIn("plan9 4", result.stderr)

    def test_prints_the_line_to_run_where_no_system_is_named(self):
        self.packages_are("not-installed")
        self.os_release.unlink()
        self.assert_line_to_run(self.setup(), "cmake")

    def test_lists_more_for_each_larger_purpose(self):
        sets = [set(self.setup("--list", "--for", purpose).stdout.split())
                for purpose in ("build", "demo", "test")]
        self.assertLess(sets[0], sets[1])
        self.assertLess(sets[1], sets[2])
        self.assertEqual(set(self.setup("--list").stdout.split()), sets[2])
        self.assertEqual(self.calls(), [])

    def test_names_the_newer_compiler_on_the_older_ubuntu(self):
        for version, compiler in (("22.04", "g++-12"), ("24.04", "g++")):
            self.os_release.write_text(f'ID=ubuntu\nVERSION_ID="{version}"\n', encoding="utf-8")
            self.assertIn(compiler, self.setup("--list").stdout.split())

    def test_refuses_what_it_does_not_know(self):
        for args in (["--for", "fun"], ["--for"], ["now"]):
            result = self.setup(*args)
            self.assertEqual(result.returncode, 64)
            self.assertIn("scripts/setup: error: ", result.stderr)
        self.assertEqual(self.calls(), [])


class Tree(ScriptTest):
    """A repository of stand-ins around one real script."""

    def setUp(self):
        super().setUp()
        self.repository = self.directory / "repository"
        self.write_script(self.repository / "scripts/setup", "exit 0")
        self.write_script(self.repository / "scripts/build", "mkdir -p build")

    def run_in_tree(self, name, *args, **variables):
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(muster_test.SOURCE_DIR / name, path)
        variables["PATH"] = f"{self.tools}:{os.defpath}"
        return self.run_script(path, *args, **variables)


class Test(Tree):
    def add_folders(self, *names):
        for name in names:
            (self.repository / "tests" / name).mkdir(parents=True)
            (self.repository / "tests" / name / "CMakeLists.txt").touch()

    def test_runs_each_folder_of_tests_in_one_tree_and_one_ctest(self):
        self.add_folders("unit/base", "unit/plan", "golden", "lint", "fuzz", "e2e", "gpu")
        self.tool("ctest")
        self.assertEqual(self.run_in_tree("scripts/test", "-R", "x").returncode, 0)
        folders = (self.repository / "build/CTestTestfile.cmake").read_text().split()
        self.assertEqual(sorted(folders), sorted(
            f'subdirs("{folder}")' for folder in
            ("dev/tests/unit/base", "dev/tests/unit/plan", "dev/tests/golden", "dev/tests/lint",
             "dev/tests/fuzz", "release/tests/e2e", "release/tests/gpu")))
        ctests = [call for call in self.calls() if call.startswith("ctest")]
        self.assertEqual(len(ctests), 1)
        self.assertTrue(ctests[0].endswith(" -R x"), ctests)

    def test_ends_with_the_output_and_the_status_of_ctest(self):
        self.tool("ctest", 'echo "rounds $MUSTER_ROUNDS"; echo closing line; exit 8')
        for name in ("scripts/test", ".ci/run"):
            with self.subTest(name):
                result = self.run_in_tree(name)
                self.assertEqual(result.returncode, 8)
                self.assertEqual(result.stdout, "rounds 5\nclosing line\n")

    def test_runs_no_test_when_the_build_fails(self):
        self.tool("ctest")
        self.write_script(self.repository / "scripts/build", "exit 2")
        self.assertEqual(self.run_in_tree("scripts/test").returncode, 2)
        self.assertNotIn("ctest", " ".join(self.calls()))


class Demo(Tree):
    MUSTER = """while [ "$1" != --run-id ]; do shift; done; run=runs/$2
      mkdir -p $run/outputs $run/ranks/00000/attempt-0
      echo '{"accuracy": 0.97}' >$run/outputs/result.json
      echo step >$run/ranks/00000/attempt-0/stdout.log"""

    def test_ends_by_showing_where_the_results_are(self):
        self.write_script(self.repository / "build/release/bin/muster", self.MUSTER)
        result = self.run_in_tree("scripts/demo")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn('Result: {"accuracy": 0.97}', result.stdout)
        run = next((self.repository / "runs").iterdir())
        self.assertIn(f"runs/{run.name}:", result.stdout)
        self.assertTrue(result.stdout.endswith("  ranks/00000/attempt-0/stdout.log\n"))

    def test_fails_when_the_run_fails(self):
        self.write_script(self.repository / "build/release/bin/muster", "exit 7")
        result = self.run_in_tree("scripts/demo")
        self.assertEqual(result.returncode, 7)
        self.assertNotIn("Result", result.stdout)

    def test_fails_when_the_run_left_no_result(self):
        self.write_script(self.repository / "build/release/bin/muster", "exit 0")
        self.assertEqual(self.run_in_tree("scripts/demo").returncode, 70)


class Soak(Tree):
    def test_starts_the_tests_as_often_as_the_rounds_need(self):
        self.tool("ctest", 'echo "each $MUSTER_ROUNDS"')
        result = self.run_in_tree("scripts/soak", "12")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("until-fail:3", self.calls()[-1])
        self.assertIn("each 5\n", result.stdout)
        for word in ("commit:", "date:", "machine:", "command:", "ended:"):
            self.assertIn(word, result.stdout)

    def test_runs_all_once_under_each_row_of_seccomp(self):
        self.write_script(self.repository / "build/release/tests/programs/under_seccomp",
                          "printf 'one\\ntwo\\n'")
        self.tool("ctest", 'echo "prefix ${MUSTER_TEST_PREFIX#*/under_seccomp }"')
        result = self.run_in_tree("scripts/soak", "--seccomp", "-R", "stops",
                                  MUSTER_SECCOMP_ROWS="EPERM:clone3 ENOSYS:all")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("prefix --errno EPERM clone3 --\n", result.stdout)
        self.assertIn("prefix --errno ENOSYS one,two --\n", result.stdout)
        self.assertIn("-L e2e -R stops", self.calls()[-1])

    def test_fails_when_a_round_fails(self):
        self.tool("ctest", "exit 8")
        self.assertEqual(self.run_in_tree("scripts/soak", "3").returncode, 8)

    def test_refuses_rounds_that_are_no_number(self):
        for rounds in ("0", "many", "-1", ""):
            self.assertEqual(self.run_in_tree("scripts/soak", rounds).returncode, 64)

    def test_repeats_the_tests_with_threads(self):
        self.tool("ctest")
        self.assertEqual(self.run_in_tree("scripts/soak", "--tsan", "7").returncode, 0)
        self.assertIn("build tsan muster_tsan_tests", self.calls())
        self.assertIn("--preset tsan --repeat until-fail:7", self.calls()[-1])

    def test_does_the_fault_matrix_a_few_seeds_at_a_time(self):
        self.tool("ctest", 'echo "$MUSTER_FAULTS: $MUSTER_SEEDS from $MUSTER_FIRST_SEED"')
        result = self.run_in_tree("scripts/soak", "--faults", "7", "-R", "local")
        self.assertEqual(result.returncode, 0, result.stderr)
        for start in ("long: 3 from 1\n", "long: 3 from 4\n", "long: 1 from 7\n"):
            self.assertIn(start, result.stdout)
        self.assertIn("-L chaos -R local", self.calls()[-1])
        self.tool("ctest", '[ "$MUSTER_FIRST_SEED" != 1 ] || exit 8')
        self.assertEqual(self.run_in_tree("scripts/soak", "--faults", "4").returncode, 8)

    def fuzz(self, status, *args):
        self.tool("clang++")
        for target in ("config", "frame"):
            (self.repository / "tests/fuzz/corpus" / target).mkdir(parents=True)
            self.write_script(self.repository / f"build/fuzz/bin/fuzz_{target}",
                              f"echo stat::number_of_executed_units: 42 >&2; exit {status}")
        return self.run_in_tree("scripts/soak", "--fuzz", *args)

    def test_fuzzes_every_target_for_that_long(self):
        result = self.fuzz(0, "3")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("config: held after 42 inputs\nframe: held after 42 inputs\n", result.stdout)
        started = [call for call in self.calls() if call.startswith("fuzz_")]
        self.assertEqual(len(started), 2)
        for call in started:
            self.assertIn("-max_total_time=3 ", call)

    def test_fuzzes_the_target_that_is_named(self):
        self.assertEqual(self.fuzz(0, "3", "frame").returncode, 0)
        self.assertNotIn("fuzz_config", " ".join(self.calls()))

    def test_fails_when_a_target_breaks(self):
        result = self.fuzz(77, "3")
        self.assertEqual(result.returncode, 1)
        self.assertIn("config: BROKEN after 42 inputs", result.stdout)

    def test_refuses_other_words(self):
        for args in (["--fuzz"], ["--fuzz", "long"], ["--tsan", "0"], ["--faults"], ["--fast"]):
            with self.subTest(args):
                self.assertEqual(self.run_in_tree("scripts/soak", *args).returncode, 64)


class Coverage(Tree):
    SUMMARY = """while [ "$1" != --json-summary ]; do shift; done
      echo '{"files": [
        {"filename": "base/fd.cc", "line_covered": 9, "line_total": 10,
         "branch_covered": 1, "branch_total": 2},
        {"filename": "launcher/plan/place.cc", "line_covered": 15, "line_total": 20,
         "branch_covered": 0, "branch_total": 0}]}' >"$2" """

    def setUp(self):
        super().setUp()
        self.write_script(self.repository / "scripts/build", "mkdir -p build/coverage")
        self.tool("gcovr", self.SUMMARY)
        self.tool("ctest")

    def kinds(self):
        return [call.split()[-3] for call in self.calls() if call.startswith("ctest")]

    def test_shows_each_directory_and_the_whole(self):
        result = self.run_in_tree("scripts/coverage")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.kinds(), ["^unit$", "^e2e$"])
        rows = [line.split() for line in result.stdout.splitlines()[-3:]]
        self.assertEqual([row[0] for row in rows], ["base", "launcher/plan", "all"])
        self.assertEqual([row[1] for row in rows], ["90.0", "75.0", "80.0"])

    def test_leaves_out_the_end_to_end_tests_when_it_must_be_fast(self):
        self.assertEqual(self.run_in_tree("scripts/coverage", "--fast").returncode, 0)
        self.assertEqual(self.kinds(), ["^unit$"])

    def test_shows_the_table_and_fails_when_a_test_fails(self):
        self.tool("ctest", "exit 8")
        result = self.run_in_tree("scripts/coverage")
        self.assertEqual(result.returncode, 8)
        self.assertIn("launcher/plan", result.stdout)

    def test_refuses_other_words(self):
        self.assertEqual(self.run_in_tree("scripts/coverage", "--slow").returncode, 64)


class Tidy(Tree):
    def git(self, *words):
        subprocess.run(["git", "-C", str(self.repository), "-c", "user.name=A", "-c",
                        "user.email=a@example.org", *words], check=True, capture_output=True)

    def setUp(self):
        super().setUp()
        if shutil.which("git") is None:
            self.skipTest("no git")
        self.tool("clang-tidy")
        for name in ("base/old.cc", "base/changed.cc", "tests/some_test.cc"):
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository / name).write_text("", encoding="utf-8")
        self.git("init", "--initial-branch=main")
        self.git("add", ".")
        self.git("commit", "-m", "all")

    def checked(self, *args):
        result = self.run_in_tree("scripts/tidy", *args)
        self.assertEqual(result.returncode, 0, result.stderr)
        return sorted(call.split()[-1] for call in self.calls() if call.startswith("clang-tidy"))

    def test_checks_what_differs_from_main(self):
        for name in ("base/changed.cc", "base/new.cc", "tests/some_test.cc"):
            (self.repository / name).write_text("int x;", encoding="utf-8")
        self.assertEqual(self.checked(), ["base/changed.cc", "base/new.cc"])

    def test_checks_nothing_when_nothing_differs(self):
        self.assertEqual(self.checked(), [])

    def test_checks_all_or_what_is_named(self):
        self.assertEqual(self.checked("--all"), ["base/changed.cc", "base/old.cc"])
        self.log.unlink()
        self.assertEqual(self.checked("base/old.cc"), ["base/old.cc"])

    def test_fails_when_a_check_fails(self):
        self.tool("clang-tidy", "exit 1")
        self.assertNotEqual(self.run_in_tree("scripts/tidy", "--all").returncode, 0)


if __name__ == "__main__":
    muster_test.main()
