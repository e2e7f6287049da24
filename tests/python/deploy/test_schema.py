"""config/schema.json: it takes every example, and refuses what pgvalet refuses."""

import json
import re
import subprocess
import tomllib

import jsonschema
import pytest
from chart import ROOT, pgvalet

SCHEMA = json.loads((ROOT / "config/schema.json").read_text())
EXAMPLES = [*(ROOT / "config").glob("*.toml"), *(ROOT / "deploy").rglob("*.toml")]
BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list:
    """The examples of configurations in the documents."""
    found = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, text in enumerate(BLOCK.findall(path.read_text())):
            found.append(pytest.param(text, id=f"{path.stem}-{number}"))
    return found


def test_it_is_a_schema():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_it_takes_an_example(path):
    jsonschema.validate(tomllib.loads(path.read_text()), SCHEMA)


def test_full_toml_with_every_key_is_taken():
    """With the keys that are commented out because they exclude others, one at a time."""
    lines = (ROOT / "config/full.toml").read_text().splitlines()
    optional = [i for i, line in enumerate(lines) if re.match(r"#[a-z_]+ = ", line)]
    assert len(optional) > 20
    for index in optional:
        one = [line[1:] if i == index else line for i, line in enumerate(lines)]
        try:
            read = tomllib.loads("\n".join(one))
        except tomllib.TOMLDecodeError:
            continue  # the first line of a longer value
        jsonschema.validate(read, SCHEMA)


@pytest.mark.parametrize("text", blocks())
def test_it_takes_what_the_documents_show(text):
    jsonschema.validate(tomllib.loads(text), SCHEMA)


FILE = """
[database.orders]
secret = "prod/orders"
{}

[[client]]
name = "api"
network = "10.0.0.0/8"
databases = "orders"
"""


def program_takes(text: str, directory) -> bool:
    file = directory / "pgvalet.toml"
    file.write_text(text)
    check = [pgvalet(), "--config", str(file), "check", "--offline"]
    done = subprocess.run(check, capture_output=True, text=True)
    return done.returncode != 2


@pytest.mark.parametrize(
    "line, right",
    [
        ("", True),
        ("pool_size = 5", True),
        ('host = "db1"', True),
        ('host = ["db1", "db2:5433"]', True),
        ('query_timeout = "1h 30m"', True),
        ('rotation = { every = "30 days" }', True),
        ("pool_sise = 5", False),
        ("pool_size = 0", False),
        ("pool_size = 100001", False),
        ('pool_size = "5"', False),
        ("pool_size = 5.5", False),
        ('pool_mode = "transactions"', False),
        ("query_timeout = 5", False),
        ('query_timeout = "5 parsecs"', False),
        ("host = 5", False),
        ("reset_between_clients = 1", False),
        ('rotation = "30 days"', False),
        ('rotation = { evry = "30 days" }', False),
    ],
)
def test_it_says_what_the_program_says(line, right, tmp_path):
    text = FILE.format(line)
    assert program_takes(text, tmp_path) is right
    assert jsonschema.Draft7Validator(SCHEMA).is_valid(tomllib.loads(text)) is right
