"""The essentials of `cargo deny check bans licenses sources`, from deny.toml.

For machines without cargo-deny, which takes minutes to build.
"""

import re
import subprocess
import sys
import tomllib


def allowed(expression: str, licences: set[str]) -> bool:
    """Whether an SPDX expression can be met with these licences alone."""
    tokens = re.findall(r"\(|\)|[^\s()/]+|/", expression)
    position = 0

    def peek() -> str | None:
        return tokens[position] if position < len(tokens) else None

    def take() -> str:
        nonlocal position
        position += 1
        return tokens[position - 1]

    def term() -> bool:
        if peek() == "(":
            take()
            value = either()
            take()
            return value
        name = take()
        if peek() == "WITH":
            take()
            name += " WITH " + take()
        return name in licences

    def both() -> bool:
        value = term()
        while peek() == "AND":
            take()
            value &= term()
        return value

    def either() -> bool:
        value = both()
        # Older crates write a slash for OR.
        while peek() in ("OR", "/"):
            take()
            value |= both()
        return value

    return either()


def packages(targets: list[str]) -> dict[tuple[str, str], str]:
    """Every package that a build for one of the targets uses, and its licence.

    `cargo tree` and not `cargo metadata`: the latter also lists optional
    packages that no feature asks for.
    """
    command = ["cargo", "tree", "--locked", "--quiet", "--prefix=none", "--no-dedupe"]
    command += ["--all-features", "--edges=normal,build,dev", "--format={p}|{l}"]
    for target in targets:
        command += ["--target", target]
    tree = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {}
    for line in set(tree.splitlines()) - {""}:
        package, licence = line.split("|")
        name, version = package.split()[:2]
        found[name, version.removeprefix("v")] = licence
    return found


def main() -> int:
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    licences = set(rules["licenses"]["allow"])
    banned = {rule["crate"]: rule["reason"] for rule in rules["bans"]["deny"]}
    registries = {"registry+" + url for url in rules["sources"]["allow-registry"]}

    with open("Cargo.lock", "rb") as file:
        locked = tomllib.load(file)["package"]
    sources = {(p["name"], p["version"]): p.get("source") for p in locked}

    found = packages(rules["graph"]["targets"])
    wrong = []
    for (name, version), licence in sorted(found.items()):
        if name in banned:
            wrong.append(f"{name} {version} is banned: {banned[name]}")
        if not licence or not allowed(licence, licences):
            wrong.append(f"{name} {version}: deny.toml does not allow the licence {licence!r}")
        source = sources[name, version]
        if source is not None and source not in registries:
            wrong.append(f"{name} {version} comes from {source}")
    for line in wrong:
        print("deny:", line, file=sys.stderr)
    if not wrong:
        print(f"deny: {len(found)} packages are in order (licences, bans, sources)")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
