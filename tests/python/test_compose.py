"""docker-compose.yml and what it mounts: everything it names exists and agrees.

Where docker is at hand it has the first word; without it, YAML and TOML say
enough to catch a renamed file, a missing volume or a rule for another network.
"""

import ipaddress
import os
import pathlib
import shutil
import stat
import subprocess
import tomllib

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.fixture(scope="module")
def config() -> dict:
    return tomllib.loads((ROOT / "deploy/compose/pgvalet.toml").read_text())


def mounts(service: dict) -> list[tuple[str, str]]:
    return [tuple(volume.split(":")[:2]) for volume in service.get("volumes", [])]


def has_compose() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_docker_accepts_it():
    subprocess.run(["docker", "compose", "config", "--quiet"], cwd=ROOT, check=True)


def test_whatever_is_mounted_exists(compose):
    for name, service in compose["services"].items():
        for source, _ in mounts(service):
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name} mounts {source}"
            else:
                assert source in compose["volumes"], f"{name} mounts {source}"


def test_whatever_is_waited_for_exists(compose):
    for name, service in compose["services"].items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in compose["services"], f"{name} waits for {other}"
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other], f"{name} waits for {other}"


def test_scripts_can_be_run(compose):
    for name, service in compose["services"].items():
        for word in service.get("entrypoint", []) + service.get("command", []):
            if word.startswith("/deploy/"):
                script = ROOT / "deploy/compose" / word.removeprefix("/deploy/")
                assert script.stat().st_mode & stat.S_IXUSR, f"{name} runs {word}"
    for script in (ROOT / "deploy/compose").glob("*.sh"):
        shell = script.read_text().splitlines()[0].split("/")[-1].split()[-1]
        subprocess.run([shell, "-n", script], check=True)


def test_build_targets_exist(compose):
    stages = [
        line.split()[-1]
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("FROM ") and " AS " in line
    ]
    for name, service in compose["services"].items():
        if "build" in service:
            assert service["build"]["target"] in stages, name


def test_no_password_stands_in_it(compose):
    """Values of variables that name a password are paths to one."""
    for service in compose["services"].values():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert variable.endswith("_FILE") and value.startswith("/run/"), variable
    for word in ("POSTGRES_PASSWORD:", "PGPASSWORD:"):
        assert word not in (ROOT / "docker-compose.yml").read_text()


def test_the_client_is_inside_the_network_of_its_rule(compose, config):
    subnet = ipaddress.ip_network(compose["networks"]["default"]["ipam"]["config"][0]["subnet"])
    rules = [ipaddress.ip_network(n) for c in config["client"] for n in c["network"]]
    assert any(subnet.subnet_of(rule) for rule in rules)
    asked = compose["services"]["client"]["environment"]["PGDATABASE"]
    assert asked in config["database"]
    assert config["database"][asked]["secret"] == compose["services"]["init"]["environment"]["SECRET"]


def test_files_of_the_configuration_are_on_mounted_volumes(compose, config):
    targets = [target for _, target in mounts(compose["services"]["pgvalet"])]
    paths = [
        config["admin"]["token_file"],
        config["store"]["path"],
        config["store"]["key_file"],
        config["audit"]["path"],
    ]
    for path in paths:
        assert any(os.path.commonpath([path, t]) == t for t in targets), path
    for name in ("init", "rotator"):
        theirs = [target for _, target in mounts(compose["services"][name])]
        assert "/var/lib/pgvalet" in theirs, f"{name} works on the same store"


def test_prometheus_asks_where_pgvalet_answers(compose, config):
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    job = prometheus["scrape_configs"][0]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert host in compose["services"]
    assert config["admin"]["address"].endswith(":" + port)
    assert job["authorization"]["credentials_file"] == config["admin"]["token_file"]
    for rules in prometheus["rule_files"]:
        loaded = yaml.safe_load((ROOT / "deploy/prometheus" / rules).read_text())
        alerts = [rule["alert"] for group in loaded["groups"] for rule in group["rules"]]
        assert len(alerts) == len(set(alerts)) > 0


def test_the_dashboard_asks_the_provisioned_source():
    import json

    folder = ROOT / "deploy/grafana"
    sources = yaml.safe_load((folder / "provisioning/datasources/prometheus.yml").read_text())
    assert [source["type"] for source in sources["datasources"]] == ["prometheus"]
    dashboard = json.loads((folder / "pgvalet.json").read_text())
    # Whoever imports the dashboard chooses; here there is one to choose.
    variables = {v["name"]: v for v in dashboard["templating"]["list"]}
    assert set(variables) == {"datasource", "instance", "database"}
    assert variables["datasource"]["query"] == "prometheus"
    panels = [p for p in dashboard["panels"] if p["type"] != "row"]
    assert {p["datasource"]["uid"] for p in panels} == {"${datasource}"}
    assert len({p["id"] for p in dashboard["panels"]}) == len(dashboard["panels"])
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    assert len(places) == len(set(places)), "panels lie over each other"


def test_the_unit_file_is_one():
    unit = ROOT / "deploy/pgvalet.service"
    assert "ExecStart=/usr/local/bin/pgvalet run --config" in unit.read_text()
    if shutil.which("systemd-analyze"):
        answer = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True
        )
        # The program is not installed where this runs; anything else is an error.
        errors = [line for line in answer.stderr.splitlines() if unit.name in line]
        assert all("not executable" in line for line in errors), answer.stderr
