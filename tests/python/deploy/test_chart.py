"""The Helm chart: every value file of deploy/helm/pgvalet/ci renders to objects that Kubernetes
takes, and to a configuration that pgvalet takes."""

import json
import subprocess
import tomllib

import jsonschema
import pytest
import yaml
from chart import CHART, ROOT, of_kind, pgvalet, render, validate
from helm_python import HelmError, chart

FILES = sorted((CHART / "ci").glob("*-values.yaml"))
AWS = yaml.safe_load((CHART / "ci/aws-irsa-values.yaml").read_text())


def values(name: str) -> dict:
    return yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text())


def with_values(**more) -> dict:
    return {**AWS, **more}


def pod(objects: list[dict]) -> dict:
    [workload] = [o for o in objects if o["kind"] in ("Deployment", "StatefulSet")]
    return workload["spec"]["template"]["spec"]


def configuration(objects: list[dict]) -> dict:
    maps = [o for o in objects if o["kind"] == "ConfigMap" and "pgvalet.toml" in o["data"]]
    return tomllib.loads(maps[0]["data"]["pgvalet.toml"])


def test_there_are_value_files_for_what_people_do():
    assert len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem.removesuffix("-values"))
def test_a_value_file(path, tmp_path):
    given = yaml.safe_load(path.read_text())
    report = chart.lint(CHART, given, strict=True, kube_version="v1.30.0")
    worse = [m for m in report["messages"] if m["severity"] >= 2]
    assert not worse and not report["errors"], report
    objects = render(given)
    validate(objects)
    for object in objects:
        # Names of pods and services have at most 63 characters.
        assert len(object["metadata"]["name"]) <= 63
    ports_are_named_once(objects)
    mounts_are_volumes(pod(objects), objects)
    if "existingConfigMap" not in given:
        takes_the_configuration(objects, tmp_path)


def ports_are_named_once(objects: list[dict]) -> None:
    [container] = [c for c in pod(objects)["containers"] if c["name"] == "pgvalet"]
    names = [port["name"] for port in container["ports"]]
    assert len(set(names)) == len(names)
    for service in (o for o in objects if o["kind"] == "Service"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in names


def mounts_are_volumes(pod: dict, objects: list[dict]) -> None:
    volumes = {volume["name"] for volume in pod["volumes"]}
    for object in objects:
        for claim in object.get("spec", {}).get("volumeClaimTemplates", []):
            volumes.add(claim["metadata"]["name"])
    for container in pod["containers"]:
        for mount in container.get("volumeMounts", []):
            assert mount["name"] in volumes, mount


def takes_the_configuration(objects: list[dict], directory) -> None:
    """By the schema, and by pgvalet itself."""
    read = configuration(objects)
    schema = json.loads((ROOT / "config/schema.json").read_text())
    jsonschema.validate(read, schema)
    [text] = [o["data"]["pgvalet.toml"] for o in objects if o.get("data", {}).get("pgvalet.toml")]
    file = directory / "pgvalet.toml"
    file.write_text(text)
    done = subprocess.run(
        [pgvalet(), "--config", str(file), "check", "--offline"], capture_output=True, text=True
    )
    assert "is valid" in done.stdout, done.stdout + done.stderr + text
    # Files of Secrets are not there, which is no mistake of the configuration.
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem:")]
    assert all("/etc/pgvalet/" in line for line in problems), problems


def test_what_the_file_says_arrives():
    read = configuration(render(values("many-databases")))
    assert read["listen"]["address"] == ["0.0.0.0:6432"]
    assert read["listen"]["max_clients"] == 20000
    assert read["database"]["with space"]["reset_between_clients"] is False
    names = [client["name"] for client in read["client"]]
    assert names == ["reports", 'with "quotes" & <signs>'], "rules keep their order"
    assert read["client"][0]["valid"] == {"from": "08:00", "until": "18:00"}
    assert read["secret"]["prod/orders"]["admin_secret"] == "admins/orders"


def test_the_grace_period_leaves_time_for_transactions():
    for given in (AWS, values("long-transactions")):
        objects = render(given)
        timeout = int(configuration(objects)["listen"]["shutdown_timeout"].removesuffix("s"))
        [container] = pod(objects)["containers"]
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod(objects)["terminationGracePeriodSeconds"] >= sleep + timeout + 10


def test_nothing_runs_as_root_or_writes_to_the_image():
    for path in FILES:
        spec = pod(render(yaml.safe_load(path.read_text())))
        assert spec["securityContext"]["runAsNonRoot"] is True
        [container] = [c for c in spec["containers"] if c["name"] == "pgvalet"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]


def test_the_kubelet_reaches_the_admin_port_and_nobody_reads_it_without_a_token():
    objects = render(AWS)
    admin = configuration(objects)["admin"]
    assert admin == {"address": "0.0.0.0:6433", "token_file": "/etc/pgvalet/admin/token"}
    [container] = pod(objects)["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "admin"}
    assert of_kind(objects, "Secret", "-admin")["data"]["token"]


def test_the_alerts_are_those_of_the_repository():
    rules = of_kind(render(values("monitored")), "PrometheusRule")["spec"]["groups"]
    written = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    assert rules[: len(written)] == written and rules[-1]["name"] == "ours"
    monitor = of_kind(render(values("monitored")), "ServiceMonitor")
    [service] = [
        o
        for o in render(values("monitored"))
        if o["kind"] == "Service"
        and monitor["spec"]["selector"]["matchLabels"].items() <= o["metadata"]["labels"].items()
    ]
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "pgvalet"


def test_the_dashboards_are_those_of_the_repository():
    data = of_kind(render(values("monitored")), "ConfigMap", "-dashboards")["data"]
    there = {path.name for path in (ROOT / "deploy/grafana").glob("*.json")}
    assert data.keys() == there and all(json.loads(text) for text in data.values())


def test_another_configuration_is_another_pod():
    def checksum(given):
        [workload] = [o for o in render(given) if o["kind"] == "Deployment"]
        return workload["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum(AWS) == checksum(AWS)
    assert checksum(AWS) != checksum(with_values(shutdownTimeout=31))


CONFIG = AWS["config"]


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({}, "config.database is empty"),
        ({"config": {**CONFIG, "client": []}}, "config.client is empty"),
        ({"config": {**CONFIG, "store": {}}}, "a store of their own"),
        ({**AWS, "persistence": {"enabled": True}}, "so that each replica has a volume"),
        ({**AWS, "podDisruptionBudget": {"minAvailable": 1}}, "minAvailable and maxUnavailable"),
        ({**AWS, "replica": 3}, "replica"),
        ({**AWS, "kind": "DaemonSet"}, "kind"),
        ({**AWS, "image": {"digest": "latest"}}, "digest"),
        ({**AWS, "service": {"port": 70000}}, "port"),
        ({**AWS, "shutdownTimeout": "30s"}, "shutdownTimeout"),
        ({"config": {**CONFIG, "databases": {}}}, "config has no key databases"),
        ({"config": {**CONFIG, "listen": {"adress": []}}}, "config.listen has no key adress"),
        (
            {"config": {**CONFIG, "database": {"orders": {"secret": "s", "pool_sise": 5}}}},
            "config.database.orders has no key pool_sise",
        ),
        (
            {"config": {**CONFIG, "client": [{**CONFIG["client"][0], "netwrok": "::1"}]}},
            "config.client has no key netwrok",
        ),
        ({"config": {**CONFIG, "client": [{"name": "a"}]}}, "databases"),
    ],
)
def test_wrong_values_are_refused(wrong, said):
    with pytest.raises(HelmError) as refusal:
        render(wrong)
    assert said in str(refusal.value)


def test_an_object_that_kubernetes_would_not_take_is_noticed():
    objects = render(AWS)
    pod(objects)["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(Exception, match="imagePullPolice"):
        validate(objects)
    monitored = render(values("monitored"))
    of_kind(monitored, "ServiceMonitor")["spec"]["endpoints"] = "admin"
    with pytest.raises(AssertionError, match="ServiceMonitor"):
        validate(monitored)


def test_the_readme_lists_every_value():
    done = subprocess.run(["python3", str(ROOT / "scripts/chart_readme.py"), "--check"])
    assert done.returncode == 0, "scripts/chart_readme.py prints it anew"


def test_the_version_is_that_of_the_program():
    read = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    assert read["appVersion"] == package["version"]


def test_the_examples_are_objects_that_kubernetes_takes():
    for path in sorted((ROOT / "deploy/helm/examples").rglob("*.yaml")):
        if path.name.endswith("values.yaml"):
            objects = render(yaml.safe_load(path.read_text()))
        else:
            objects = [o for o in yaml.safe_load_all(path.read_text()) if o]
        # CloudNativePG's own kinds have no schema in a registry.
        validate([o for o in objects if not o["apiVersion"].startswith("postgresql.cnpg.io/")])
