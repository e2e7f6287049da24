"""Gets the suites and what runs them, pinned, into .cache/suites."""

import filecmp
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from world import ROOT, die, postgres_directory

HERE = Path(__file__).resolve().parent
CACHE = ROOT / ".cache/suites"
PYTHON = CACHE / "venv/bin/python"


def run(what: str, command: list, **more) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode:
        die(f"{what} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def environment() -> None:
    wanted, stamp = HERE / "requirements.txt", CACHE / "venv/requirements.txt"
    if stamp.exists() and filecmp.cmp(wanted, stamp, shallow=False):
        return
    print("making the Python environment .cache/suites/venv", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    run("venv", [sys.executable, "-m", "venv", "--clear", CACHE / "venv"])
    run("pip", [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted])
    shutil.copy(wanted, stamp)


def pins() -> dict[str, tuple[str, str]]:
    """What sources.txt says: name → (file, SHA-256)."""
    found = {}
    for line in (HERE / "sources.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement, file, sha256 = line.split()
            found[file.rsplit("-", 1)[0]] = (requirement, file, sha256)
    return found


def source(name: str) -> tuple[Path, str]:
    """The unpacked source distribution, and its version."""
    requirement, file, sha256 = pins()[name]
    directory = CACHE / "src" / file.removesuffix(".tar.gz")
    if not directory.exists():
        print(f"fetching the tests of {requirement}", flush=True)
        archive = download(requirement, file, sha256)
        unpacked = CACHE / "src/unpacking"
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked, filter="data")
        # Its name is that of the project, which may be spelt otherwise.
        (inside,) = unpacked.iterdir()
        inside.rename(directory)
        shutil.rmtree(unpacked)
    return directory, requirement.split("==")[1]


def download(requirement: str, file: str, sha256: str) -> Path:
    downloads = CACHE / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    wanted = downloads / "wanted.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    # pip runs the source's own build to read its metadata; psycopg2's asks for
    # pg_config, which lies beside the server.
    name = requirement.split("==")[0]
    run("pip download", [
        PYTHON, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-binary", name, "--require-hashes", "-r", wanted, "--dest", downloads,
    ], env=os.environ | {"PATH": f"{os.environ['PATH']}:{postgres_directory()}"})
    return downloads / file
