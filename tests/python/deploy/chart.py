"""Renders the chart with Helm's own engine, and validates what comes out."""

import functools
import json
import os
import pathlib
import subprocess

import kubernetes_validate
import yaml
from helm_python import chart

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/pgvalet"
MODULES = ROOT / ".cache/deploy/node"
# The oldest that the chart takes, and the newest that there are schemas of.
KUBERNETES = ["1.30", "1.37"]
CUSTOM = {"monitoring.coreos.com/v1", "external-secrets.io/v1"}


@functools.cache
def loaded() -> chart.Chart:
    return chart.Chart.load(CHART)


def merged(values: dict) -> dict:
    """As `helm --set` would give them: the keys of `values` alone."""
    return json.loads(json.dumps(values))


def render(values: dict, name: str = "pgvalet", namespace: str = "db") -> list[dict]:
    """The objects; raises what Helm says if the values are wrong."""
    loaded().validate_schema(merged(values))
    texts = loaded().render(merged(values), name=name, namespace=namespace, is_install=True)
    return [
        object
        for path, text in texts.items()
        if not path.endswith("NOTES.txt")
        for object in yaml.safe_load_all(text)
        if object
    ]


def validate(objects: list[dict]) -> None:
    """Raises at the first object that Kubernetes or an operator would not take."""
    custom = [o for o in objects if o["apiVersion"] in CUSTOM]
    for version in KUBERNETES:
        for object in objects:
            if object not in custom:
                kubernetes_validate.validate(object, version, strict=True)
    if custom:
        done = subprocess.run(
            ["node", str(ROOT / "tests/python/deploy/custom.mjs"), str(MODULES)],
            input=json.dumps(custom),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def of_kind(objects: list[dict], kind: str, name: str = "") -> dict:
    """The one object of a kind whose name ends so."""
    [found] = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(name)]
    return found


def pgvalet() -> str:
    return os.environ.get("PGVALET_BINARY", str(ROOT / "target/debug/pgvalet"))
