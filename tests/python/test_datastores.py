"""Datastores: found by name, copied into and out of, and given to runs."""

import contextlib
import io
import os
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import muster_test
from muster_azureml.core import Datastore, Workspace
from muster_azureml.exceptions import UserErrorException


class DatastoreTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        self.store = self.root / "store"
        variables = {"MUSTER_EXECUTABLE": muster_test.MUSTER,
                     "XDG_CONFIG_HOME": str(self.root / "config")}
        patch = mock.patch.dict(os.environ, variables)
        patch.start()
        self.addCleanup(patch.stop)
        for name in ("MUSTER_DATASTORES", "MUSTER_RUNS_DIR"):
            os.environ.pop(name, None)
        self.source = self.root / "source"
        (self.source / "sub").mkdir(parents=True)
        (self.source / "a.txt").write_text("a")
        (self.source / "sub/b.txt").write_text("b")
        self.workspace = Workspace(root=self.root)

    def write(self, text):
        (self.root / "datastores.yaml").write_text(text)

    def quietly(self, call, *args, **kwargs):
        with contextlib.redirect_stdout(io.StringIO()) as self.shown:
            return call(*args, **kwargs)


class Names(DatastoreTest):
    def test_by_name_and_by_default(self):
        self.write("datastores:\n  one: {type: local, path: store}\n"
                   "  two: {type: nfs, server: s, export: /e}\ndefault: two\n")
        self.assertEqual(sorted(self.workspace.datastores), ["one", "two"])
        self.assertEqual(self.workspace.get_default_datastore().name, "two")
        one = Datastore.get(self.workspace, "one")
        self.assertEqual((one.datastore_type, one.facts["path"]), ("local", str(self.store)))
        self.assertEqual(str(one.as_mount()), "$AZUREML_DATAREFERENCE_one")
        self.assertEqual(one.path("x/y").as_download("/z").to_entry()["pathOnCompute"], "/z")
        with self.assertRaisesRegex(UserErrorException, 'no datastore is named "three" in .*'
                                    "datastores.yaml; it has: one, two"):
            Datastore(self.workspace, "three")
        with self.assertRaisesRegex(UserErrorException, "copies to and from local and rclone"):
            Datastore(self.workspace, "two").upload(str(self.source))

    def test_the_only_one_is_the_default(self):
        self.write("datastores:\n  only: {type: local, path: store}\n")
        self.assertEqual(Datastore.get_default(self.workspace).name, "only")

    def test_several_without_a_default_are_told(self):
        self.write("datastores:\n  a: {type: local, path: x}\n  b: {type: local, path: y}\n")
        with self.assertRaisesRegex(UserErrorException, "which of a, b is the default datastore"):
            self.workspace.get_default_datastore()

    def test_a_mistake_in_the_file_is_musters_message(self):
        self.write("datastores:\n  one: {type: lokal, path: store}\n")
        with self.assertRaisesRegex(UserErrorException, r"datastores.yaml:2:15"):
            self.workspace.get_default_datastore()

    def test_the_first_file_is_written_and_told(self):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            store = self.workspace.get_default_datastore()
        self.assertIn("no datastores.yaml: wrote", said.getvalue())
        self.assertEqual(store.name, "workspaceblobstore")
        self.assertTrue(os.path.isdir(store.facts["path"]))
        with contextlib.redirect_stderr(io.StringIO()) as said:
            self.workspace.get_default_datastore()
        self.assertEqual(said.getvalue(), "")

    def test_another_file_is_named_by_musters_variable(self):
        other = self.root / "other.yaml"
        other.write_text("datastores:\n  there: {type: local, path: store}\n")
        self.write("datastores:\n  here: {type: local, path: store}\n")
        with mock.patch.dict(os.environ, MUSTER_DATASTORES=str(other)):
            self.assertEqual(list(self.workspace.datastores), ["there"])


class Copies(DatastoreTest):
    def check(self, datastore):
        reference = self.quietly(datastore.upload, str(self.source), "to")
        self.assertEqual(reference.path_on_datastore, "to")
        self.assertIn(f"Uploaded {self.source}/sub/b.txt", self.shown.getvalue())
        self.assertEqual((self.store / "to/sub/b.txt").read_text(), "b")
        (self.source / "a.txt").write_text("new")
        self.quietly(datastore.upload, str(self.source), "to")
        self.assertIn(f"Skipped {self.source}/a.txt", self.shown.getvalue())
        self.assertEqual((self.store / "to/a.txt").read_text(), "a")
        self.quietly(datastore.upload_files, [str(self.source / "a.txt")], target_path="to",
                     overwrite=True)
        self.assertEqual((self.store / "to/a.txt").read_text(), "new")
        back = self.root / "back"
        self.assertEqual(self.quietly(datastore.download, str(back), "to"), 2)
        self.assertEqual((back / "to/sub/b.txt").read_text(), "b")
        self.assertEqual(self.quietly(datastore.download, str(back), "to/a.txt", overwrite=True), 1)
        self.assertEqual(self.quietly(datastore.download, str(back), "none"), 0)
        with self.assertRaisesRegex(UserErrorException, "does not lie below"):
            datastore.upload_files([str(self.root / "datastores.yaml")], str(self.source))
        with self.assertRaisesRegex(UserErrorException, "is no directory"):
            datastore.upload(str(self.root / "none"))

    def test_a_directory(self):
        self.write("datastores:\n  blob: {type: local, path: store}\n")
        self.check(self.workspace.get_default_datastore())
        self.assertEqual([each.name for each in self.store.rglob(".*")], [])

    @unittest.skipUnless(shutil.which("rclone"), "no rclone on PATH")
    def test_an_rclone_remote(self):
        self.store.mkdir()
        (self.root / "rclone.conf").write_text("[here]\ntype = alias\n"
                                               f"remote = {self.store}\n")
        self.write("datastores:\n  blob: {type: rclone, remote: 'here:', config_file: rclone.conf}\n")
        self.check(self.workspace.get_default_datastore())


if __name__ == "__main__":
    muster_test.main()
