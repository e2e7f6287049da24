"""Every dependency has a record in supply-chain/, in the form of cargo-vet (which also reads it).

    vet.py              checks; each package that has no record is an error
    vet.py add NAME VERSION "who" "what was looked at and found"

audits.toml says who looked at a package, and what was found. The exemptions of config.toml are
packages that were there before the record began: they leave it when they are updated, and come
back with an audit.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "supply-chain"


def used() -> set[tuple[str, str]]:
    """Every package of a build for any system, with what only tests use."""
    tree = subprocess.run(
        [
            *("cargo", "tree", "--locked", "--quiet", "--prefix=none", "--no-dedupe"),
            *("--all-features", "--edges=normal,build,dev", "--target=all", "--format={p}"),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ).stdout
    packages = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    return {(name, version.removeprefix("v")) for name, version in packages if name != "pgvalet"}


def recorded() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Audited, and exempted."""

    def of(file: str, key: str) -> set[tuple[str, str]]:
        entries = tomllib.loads((FOLDER / file).read_text()).get(key, {})
        return {(name, one["version"]) for name, all_of in entries.items() for one in all_of}

    return of("audits.toml", "audits"), of("config.toml", "exemptions")


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def add(name: str, version: str, who: str, notes: str) -> None:
    with (FOLDER / "audits.toml").open("a") as file:
        file.write(
            f"\n[[audits.{name}]]\nwho = {quoted(who)}\ncriteria = \"safe-to-deploy\"\n"
            f"version = {quoted(version)}\nnotes = {quoted(notes)}\n"
        )


def check() -> int:
    packages = used()
    audited, exempted = recorded()
    wrong = [
        f"{name} {version} has no record: read it, then scripts/vet.py add {name} {version} WHO NOTES"
        for name, version in sorted(packages - audited - exempted)
    ]
    for name, version in sorted(exempted - packages):
        print(f"vet: {name} {version} is not used any more: remove it from supply-chain/config.toml")
    for line in wrong:
        print("vet:", line, file=sys.stderr)
    if not wrong:
        print(f"vet: {len(packages & audited)} packages were looked at, {len(exempted)} were there before")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(add(*sys.argv[2:]) if sys.argv[1:2] == ["add"] else check())
