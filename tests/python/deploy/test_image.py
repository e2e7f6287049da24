"""The image: its Dockerfile by a linter, and its files as they would be in a container: another
root, read-only, as the user of the image. No container engine is needed, but root is."""

import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from chart import ROOT, pgvalet

DOCKERFILE = (ROOT / "Dockerfile").read_text()
TOOLS = pathlib.Path(shutil.which("hadolint", path=str(ROOT / ".cache/deploy/bin")) or "hadolint")


def test_a_linter_has_nothing_to_say():
    done = subprocess.run([TOOLS, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_is_made_of_is_pinned_in_one_place():
    images = re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert images
    for _, image in images:
        assert re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", image), image
    stages = re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE)
    for source in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        named = re.fullmatch(r"\$\{(\w+)\}", source)
        assert source in ["scratch", *stages] or named[1] in dict(images), source
    toolchain = re.search(r"rust:([\d.]+)-", DOCKERFILE)[1]
    wanted = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert [*map(int, toolchain.split("."))] >= [*map(int, wanted[1].split("."))]


def test_it_says_by_number_who_it_runs_as():
    assert "\nUSER 65532:65532\n" in DOCKERFILE
    assert " uid=65532\n" in (ROOT / "scripts/image_root.sh").read_text()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a change of root needs root")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    root = tmp_path_factory.mktemp("image")
    root.chmod(0o755)
    subprocess.run([ROOT / "scripts/image_root.sh", pgvalet(), root], check=True)
    yield root
    shutil.rmtree(root)


def contained(image: pathlib.Path, *command: str) -> list[str]:
    """A command in the image: read-only but for its data, no rights, nobody's user."""
    script = f"""
        mount --make-rprivate /
        mount --bind '{image}' '{image}'
        mount -t tmpfs -o mode=0700,uid=65532,gid=65532 data '{image}/var/lib/pgvalet'
        mount -o remount,bind,ro '{image}'
        cd '{image}'
        exec chroot --userspec=65532:65532 --groups= . "$@"
    """
    return ["unshare", "--mount", "sh", "-euc", script, "sh", *command]


@needs_root
def test_nothing_is_there_but_the_program(image):
    files = {str(f.relative_to(image)) for f in image.rglob("*") if f.is_file()}
    others = {f for f in files if not re.search(r"\.so(\.\d+)*$|^etc/", f)}
    assert others == {"usr/bin/pgvalet"}
    assert "etc/ssl/certs/ca-certificates.crt" in files
    size = sum((image / f).stat().st_size for f in files)
    if "release" in pgvalet() or "pgo" in pgvalet():
        assert size < 40_000_000, size


@needs_root
def test_it_runs_read_only_as_nobody(image, tmp_path):
    listen, admin = [free_port() for _ in range(2)]
    token = secrets.token_hex(32)
    (image / "etc/pgvalet/token").write_text(token)
    (image / "etc/pgvalet/pgvalet.toml").write_text(
        f"""
        [listen]
        address = "127.0.0.1:{listen}"
        [admin]
        address = "127.0.0.1:{admin}"
        token_file = "/etc/pgvalet/token"
        [store]
        path = "/var/lib/pgvalet/store.db"
        key_file = "/var/lib/pgvalet/store.key"
        [audit]
        path = "/var/lib/pgvalet/audit.jsonl"
        [database.orders]
        secret = "prod/orders"
        [[client]]
        name = "local"
        network = "127.0.0.1"
        databases = "orders"
        """
    )
    os.chown(image / "etc/pgvalet/token", 0, 65532)
    (image / "etc/pgvalet/token").chmod(0o440)
    command = json.loads(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])
    log = (tmp_path / "log").open("w+")
    running = subprocess.Popen(
        contained(image, "/usr/bin/pgvalet", *command), stdout=log, stderr=log, stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while status(admin, "/livez") != 200:
            assert running.poll() is None and time.monotonic() < deadline, log_of(log)
            time.sleep(0.05)
        health = json.loads(re.search(r"HEALTHCHECK .*\n *CMD (\[.*\])", DOCKERFILE)[1])
        done = subprocess.run(contained(image, *health), capture_output=True, text=True, timeout=20)
        # 1: there is trouble, since there is no such secret.
        assert done.returncode in (0, 1), done.stdout + done.stderr
        assert "unrecognized" not in done.stderr, done.stderr
        running.terminate()
        assert running.wait(20) == 0, log_of(log)
    finally:
        running.kill()
        running.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return bound.getsockname()[1]


def status(port: int, path: str) -> int | None:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def log_of(file) -> str:
    file.seek(0)
    return file.read()
