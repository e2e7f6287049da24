"""The bill of materials is one, and is about what is linked."""

import json
import subprocess
import tomllib

import pytest
from chart import ROOT
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bill")
    files = folder / "bill.json", folder / "licences.txt"
    subprocess.run(["python3", ROOT / "scripts/bill.py", *files], cwd=ROOT, check=True)
    return [file.read_text() for file in files]


def test_it_is_a_bill_of_materials(made):
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(made[0])
    assert wrong is None, wrong


def test_it_lists_what_is_linked_and_nothing_else(made):
    bill = json.loads(made[0])
    linked = {component["name"] for component in bill["components"]}
    needed = tomllib.loads((ROOT / "Cargo.toml").read_text())
    optional = {name for name, d in needed["dependencies"].items() if "optional" in str(d)}
    assert set(needed["dependencies"]) - optional <= linked
    assert "proptest" not in linked and "serde_derive" not in linked
    assert all("hashes" in component for component in bill["components"])


def test_the_licences_are_of_everything_that_is_linked(made):
    for component in json.loads(made[0])["components"]:
        assert f"{component['name']} {component['version']} (" in made[1], component


def test_it_is_the_same_each_time(made, tmp_path):
    files = tmp_path / "bill.json", tmp_path / "licences.txt"
    subprocess.run(["python3", ROOT / "scripts/bill.py", *files], cwd=ROOT, check=True)
    assert [file.read_text() for file in files] == made
