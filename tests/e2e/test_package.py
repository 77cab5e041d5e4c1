"""What `cmake --install` puts into a prefix, and the Debian package that CPack makes, work and are
what they should be.  Nothing is installed on this machine: the package is only unpacked."""

import re
import shutil
import subprocess

import muster_test
from muster_test import BIN_DIR, MPIRUN, MusterTest

BUILD_DIR = BIN_DIR.parent
MISSING = [name for name in ("cpack", "dpkg-deb", "dpkg-shlibdeps", "file")
           if shutil.which(name) is None]


def output_of(*words, **keywords):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **keywords)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))} ended with {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout


class InstallationTest(MusterTest):
    def assert_runs(self, prefix):
        for backend in ["direct"] + (["mpi"] if MPIRUN else []):
            result = self.run_muster(["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                                      "echo rank $RANK"], muster=prefix / "bin/muster")
            self.assert_code(result, 0)
            self.assertEqual(result.rank_bytes(1), b"rank 1\n")
            shutil.rmtree(self.runs_dir)
        self.assert_nothing_left()


class Installed(InstallationTest):
    def test_an_installed_muster_runs(self):
        prefix = self.directory / "prefix"
        output_of("cmake", "--install", str(BUILD_DIR), "--prefix", str(prefix))
        self.assert_runs(prefix)
        self.assertTrue((prefix / "include/muster/version.h").is_file())
        for name in ("man/man1/muster.1", "bash-completion/completions/muster",
                     "zsh/site-functions/_muster", "fish/vendor_completions.d/muster.fish"):
            self.assertGreater((prefix / "share" / name).stat().st_size, 0, name)


class Package(InstallationTest):
    def setUp(self):
        super().setUp()
        if MISSING:
            self.skipTest("no " + ", ".join(MISSING))
        output_of("cpack", "--config", str(BUILD_DIR / "CPackConfig.cmake"), "-G", "DEB", "-B",
                  str(self.directory / "package"))
        self.package = next((self.directory / "package").glob("*.deb"))
        self.root = self.directory / "root"
        output_of("dpkg-deb", "--extract", str(self.package), str(self.root))

    def fields(self):
        text = output_of("dpkg-deb", "--field", str(self.package))
        return dict(re.findall(r"^(\S+): (.*(?:\n .*)*)", text, flags=re.MULTILINE))

    def files(self):
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*")
                      if path.is_file())

    def test_the_package(self):
        with self.subTest("its fields"):
            self.check_fields()
        with self.subTest("its files"):
            self.check_files()
        with self.subTest("its programs"):
            self.check_programs()
        with self.subTest("it runs"):
            self.assert_runs(self.root / "usr")
        with self.subTest("its examples"):
            examples = self.root / "usr/share/doc/muster/examples"
            result = self.run_muster(["validate", examples / "digits_sklearn/run.yaml"],
                                     muster=self.root / "usr/bin/muster")
            self.assert_code(result, 0)

    def check_fields(self):
        fields = self.fields()
        self.assertEqual(fields["Package"], "muster")
        self.assertRegex(fields["Version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(self.package.name, f"muster_{fields['Version']}_"
                                            f"{fields['Architecture']}.deb")
        self.assertEqual(fields["Architecture"],
                         output_of("dpkg", "--print-architecture").strip())
        self.assertRegex(fields["Maintainer"], r"^[^<]+ <[^@ ]+@[^> ]+>$")
        self.assertEqual((fields["Section"], fields["Priority"]), ("science", "optional"))
        self.assertEqual(fields["Recommends"], "openmpi-bin")
        for library in ("libc6", "libstdc++6", "libhwloc15", "libyaml-cpp"):
            self.assertIn(library, fields["Depends"])
        self.assertNotIn("-dev", fields["Depends"])
        synopsis, *paragraph = fields["Description"].splitlines()
        self.assertLessEqual(len(synopsis), 80)
        self.assertFalse(synopsis.endswith(".") or synopsis.lower().startswith(("a ", "muster ")))
        self.assertGreater(len(paragraph), 2)
        self.assertGreater(int(fields["Installed-Size"]), 1000)

    def check_files(self):
        files = self.files()
        doc = "usr/share/doc/muster/"
        for name in ("usr/bin/muster", "usr/bin/muster-agent", doc + "copyright",
                     "usr/share/man/man1/muster.1", "usr/share/zsh/vendor-completions/_muster",
                     "usr/share/bash-completion/completions/muster",
                     "usr/share/fish/vendor_completions.d/muster.fish",
                     doc + "README.md", doc + "docs/config.md",
                     doc + "examples/digits_sklearn/train.py", "usr/share/man/man1/muster.1",
                     "usr/share/bash-completion/completions/muster",
                     "usr/share/zsh/site-functions/_muster",
                     "usr/share/fish/vendor_completions.d/muster.fish"):
            self.assertIn(name, files)
        for name in files:
            self.assertTrue(name.startswith(("usr/bin/", "usr/share/")), name)
            self.assertNotIn("__pycache__", name)
        self.assertIn("Apache-2.0", (self.root / doc / "copyright").read_text(encoding="utf-8"))
        for line in output_of("dpkg-deb", "--contents", str(self.package)).splitlines():
            mode, owner = line.split()[:2]
            self.assertEqual(owner, "root/root", line)
            self.assertIn(mode, ("drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--"), line)

    def check_programs(self):
        for name in ("muster", "muster-agent"):
            path = self.root / "usr/bin" / name
            self.assertIn(", stripped", output_of("file", str(path)))
            self.assertNotIn(str(muster_test.SOURCE_DIR).encode(), path.read_bytes(),
                             f"{name} knows where it was built")
        version = output_of(str(self.root / "usr/bin/muster"), "--version")
        self.assertIn(self.fields()["Version"], version)


if __name__ == "__main__":
    muster_test.main()
