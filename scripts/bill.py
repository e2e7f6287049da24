"""What the program is made of: a bill of materials (CycloneDX) and the texts of the licences.

    bill.py BILL.cdx.json LICENCES.txt

Both are about what is linked into the program for this machine: build scripts, macros and tests
are not. The same Cargo.lock and the same commit give the same files.
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime

LICENCE = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.IGNORECASE)
# A root of its own for names made of a hash.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/pgvalet/pgvalet")


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree() -> list[tuple[int, str, str, str]]:
    """Depth, name, version and licence of every package, parents before what they need."""
    lines = output(
        *("cargo", "tree", "--locked", "--quiet", "--prefix=depth", "--no-dedupe"),
        *("--edges=normal,no-proc-macro", "--format=|{p}|{l}"),
    ).splitlines()
    found = []
    for line in filter(None, lines):
        depth, package, licence = line.split("|")
        name, version = package.split()[:2]
        found.append((int(depth), name, version.removeprefix("v"), licence))
    return found


def needs(packages: list[tuple[int, str, str, str]]) -> dict[tuple[str, str], set]:
    """What each package needs directly."""
    edges: dict[tuple[str, str], set] = {}
    above: list[tuple[str, str]] = []
    for depth, name, version, _ in packages:
        package = (name, version)
        edges.setdefault(package, set())
        above = above[:depth]
        if above:
            edges[above[-1]].add(package)
        above.append(package)
    return edges


def purl(package: tuple[str, str]) -> str:
    return f"pkg:cargo/{package[0]}@{package[1]}"


def expression(licence: str) -> str:
    """Older crates write a slash for OR."""
    return licence.replace("/", " OR ")


def component(package: tuple[str, str], licence: str, checksum: str | None) -> dict:
    name, version = package
    one = {
        "type": "library",
        "bom-ref": purl(package),
        "name": name,
        "version": version,
        "purl": purl(package),
        "licenses": [{"expression": expression(licence)}],
    }
    if checksum:
        one["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return one


def bill(packages: list, locked: bytes) -> dict:
    checksums = {
        (p["name"], p["version"]): p.get("checksum") for p in tomllib.loads(locked.decode())["package"]
    }
    licences = {(name, version): licence for _, name, version, licence in packages}
    edges = needs(packages)
    root = packages[0][1:3]
    commit = int(os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct"))
    main = component(root, licences[root], None) | {"type": "application"}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, hashlib.sha256(locked).hexdigest())}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(commit, UTC).isoformat(),
            "component": main,
        },
        "components": [
            component(package, licences[package], checksums.get(package))
            for package in sorted(edges)
            if package != root
        ],
        "dependencies": [
            {"ref": purl(package), "dependsOn": sorted(map(purl, edges[package]))}
            for package in sorted(edges)
        ],
    }


def texts(packages: set[tuple[str, str]]) -> dict[str, list[str]]:
    """Each text of a licence, and which packages have it."""
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version=1"))
    found: dict[str, list[str]] = {}
    for package in metadata["packages"]:
        if (package["name"], package["version"]) not in packages:
            continue
        folder = pathlib.Path(package["manifest_path"]).parent
        # aws-lc has C of its own, with a licence beside it.
        files = [f for f in folder.glob("*") if f.is_file() and LICENCE.match(f.name)]
        files += [f for f in folder.glob("*/LICENSE") if f.is_file()]
        title = f"{package['name']} {package['version']} ({package['license']})"
        for file in sorted(files):
            text = file.read_text(errors="replace").strip()
            found.setdefault(text, []).append(title)
        if not files:
            found.setdefault("(The package contains no text of its licence.)", []).append(title)
    return found


def main() -> int:
    bill_file, licence_file = map(pathlib.Path, sys.argv[1:])
    packages = tree()
    made = bill(packages, pathlib.Path("Cargo.lock").read_bytes())
    bill_file.write_text(json.dumps(made, indent=2) + "\n")
    linked = {package[1:3] for package in packages} - {packages[0][1:3]}
    parts = ["The licences of what is linked into pgvalet."]
    for text, titles in sorted(texts(linked).items(), key=lambda entry: entry[1]):
        parts.append("\n".join(dict.fromkeys(titles)) + "\n\n" + text)
    licence_file.write_text(("\n\n" + "-" * 80 + "\n\n").join(parts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
