"""Handles of data: names, modes, and what is refused."""

import io
import unittest

from muster_azureml._credentials import without_credentials
from muster_azureml._muster import _pass_on
from muster_azureml.core import Dataset
from muster_azureml.data import DataReference, OutputFileDatasetConfig
from muster_azureml.data._bindings import Bindings
from muster_azureml.data._names import data_name_of
from muster_azureml.exceptions import UserErrorException


class References(unittest.TestCase):
    def test_names_say_what_they_point_to(self):
        self.assertEqual(DataReference("blob", path_on_datastore="/a/b").data_reference_name,
                         "blob_a_b")
        self.assertRegex(DataReference("blob", path_on_datastore="/a-b/c.d").data_reference_name,
                         "^blob_a_b_c_d_mount_[0-9a-f]{8}$")
        self.assertEqual(data_name_of("2020", "x"), "data_2020_x")
        with self.assertRaisesRegex(UserErrorException, "cannot name an input or output"):
            DataReference("blob", "my data")

    def test_names_that_nobody_gave_are_names_of_one_thing(self):
        bindings = Bindings("r")
        whole, part = DataReference("blob"), DataReference("blob", path_on_datastore="in")
        for handle in (whole.as_mount(), whole.as_upload(), part.as_mount(), part.as_download(),
                       part.as_download("/x"), part.as_upload(overwrite=True),
                       DataReference("blob", path_on_datastore="a/b"),
                       DataReference("blob", path_on_datastore="a_b"),
                       DataReference("blob", path_on_datastore="a-b"),
                       DataReference("blob_a", path_on_datastore="b")):
            self.assertTrue(bindings.add(handle))
        self.assertEqual(len(bindings.references), 10)
        self.assertTrue(bindings.add(part.as_download()))
        self.assertEqual(len(bindings.references), 10, "the same is there once")
        self.assertEqual(DataReference("blob", "d").as_upload().data_reference_name, "d")

    def test_modes(self):
        reference = DataReference("blob", "d", "p")
        self.assertEqual(reference.as_mount().to_entry()["mode"], "mount")
        self.assertEqual(reference.as_download("/x").to_entry(), {
            "dataStoreName": "blob", "pathOnDataStore": "p", "mode": "download",
            "overwrite": False, "pathOnCompute": "/x"})
        self.assertTrue(reference.as_upload(overwrite=True).to_entry()["overwrite"])
        self.assertEqual(reference.path("q/r").path_on_datastore, "p/q/r")
        self.assertEqual(f"{reference}/x.csv", "$AZUREML_DATAREFERENCE_d/x.csv")
        with self.assertRaisesRegex(UserErrorException, 'mode "link"'):
            DataReference("blob", "d", mode="link")

    def test_one_name_is_one_thing(self):
        bindings = Bindings("r")
        bindings.add(DataReference("blob", "d", "p"))
        bindings.add(DataReference("blob", "d", "p"))
        with self.assertRaisesRegex(UserErrorException, 'are named "d"'):
            bindings.add(DataReference("blob", "d", "q"))
        with self.assertRaisesRegex(UserErrorException, 'are named "d"'):
            bindings.add(Dataset.File.from_files(("blob", "p")).as_named_input("d"))
        self.assertFalse(bindings.add("text"))


class Datasets(unittest.TestCase):
    def test_locations(self):
        location = Dataset.File.from_files(DataReference("blob", "d", "x/y")).to_location()
        self.assertEqual(location, {"dataPath": {"datastoreName": "blob", "relativePath": "x/y"}})
        location = Dataset.File.from_files(["https://host/f.csv"]).to_location()
        self.assertEqual(location, {"uri": {"path": "https://host/f.csv", "isFile": False}})
        location = Dataset.get_by_name(None, "digits", 3).to_location()
        self.assertEqual(location, {"dataset": {"name": "digits", "version": "3"}})

    def test_what_an_input_cannot_be(self):
        with self.assertRaisesRegex(UserErrorException, "has wildcards"):
            Dataset.File.from_files(("blob", "x/*.csv"))
        with self.assertRaisesRegex(UserErrorException, "a dataset of 2 paths"):
            Dataset.File.from_files([("blob", "x"), ("blob", "y")])
        with self.assertRaisesRegex(UserErrorException, "tabular datasets are not read here"):
            Dataset.Tabular.from_delimited_files(("blob", "x.csv"))
        with self.assertRaisesRegex(UserErrorException, '"digits:1": datastore://blob/x'):
            Dataset.File.from_files(("blob", "x")).register(None, "digits")


    def test_without_a_name_each_has_its_own(self):
        bindings = Bindings("r")
        one, two = (Dataset.File.from_files(("blob", each)) for each in "pq")
        for handle in (one, two, one.as_download(), one.as_mount("/x"), one):
            self.assertTrue(bindings.add(handle))
        self.assertEqual(len(bindings.data), 4)
        self.assertRegex(min(bindings.data), "^input_[0-9a-f]{8}$")


class Texts(unittest.TestCase):
    def test_credentials_are_hidden(self):
        self.assertEqual(without_credentials({"a": ["--index-url https://me:pw@host/simple", 3],
                                              "b": "https://host/p?sv=1&sig=abc#x"}),
                         {"a": ["--index-url https://****@host/simple", 3],
                          "b": "https://host/p?sv=1&sig=****#x"})

    def test_letters_that_the_encoding_has_not_are_shown_as_question_marks(self):
        target = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        _pass_on(io.BytesIO("größe\n".encode()), target, [])
        self.assertEqual(target.buffer.getvalue(), b"gr??e\n")


class Outputs(unittest.TestCase):
    def test_without_a_name_each_is_a_directory_of_its_own(self):
        bindings = Bindings("r")
        one, two = OutputFileDatasetConfig(), OutputFileDatasetConfig().as_upload()
        self.assertNotEqual(bindings.argument(one), bindings.argument(two))
        self.assertEqual(sorted(bindings.outputs), sorted([one.name, two.name]))
        self.assertEqual(one.as_upload().name, one.name)

    def test_without_a_destination_it_stays_in_the_run(self):
        self.assertNotIn("outputLocation", OutputFileDatasetConfig("o").to_entry("r"))

    def test_placeholders(self):
        entry = OutputFileDatasetConfig("o", ("blob", "x/{run-id}/{output-name}")).to_entry("r7")
        self.assertEqual(entry["outputLocation"]["dataPath"]["relativePath"], "x/r7/o")


if __name__ == "__main__":
    unittest.main()
