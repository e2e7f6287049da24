"""Prints deploy/helm/pgvalet/README.md from the comments of values.yaml; --check compares."""

import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parents[1] / "deploy/helm/pgvalet"

HEAD = """\
# The chart

This page is printed from `values.yaml` by `scripts/chart_readme.py`.

```yaml
# values.yaml
config:
  store: { kind: aws, region: eu-west-1 }
  database:
    orders: { secret: prod/orders }
  client:
    - { name: orders-api, network: [10.0.0.0/8], databases: [orders] }
serviceAccount:
  annotations:
    eks.amazonaws.com/role-arn: arn:aws:iam::123456789012:role/pgvalet
```

    helm install pgvalet deploy/helm/pgvalet --values values.yaml

* `config` is the configuration file as tables, with the keys of docs/CONFIGURATION.md. Values that cannot work
  are refused before anything is installed.
* A `network` rule sees the addresses of pods; with a Service of another type, those of clients only if
  `service.externalTrafficPolicy` is `Local`. `token` and `certificate` rules do not depend on addresses.
* A pod that stops leaves the Service first (`preStopSeconds`), then lets transactions finish (`shutdownTimeout`).
* `ci/` has a file of values for each of two dozen uses, and `../examples` pgvalet as a native sidecar and beside
  CloudNativePG.

| value | default | meaning |
|---|---|---|
"""


def rows(text: str) -> list[tuple[str, str, str]]:
    """Every value that is no table: its path, its default, what the comment above it says."""
    found: list[tuple[str, str, str]] = []
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    documented = False
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# --"):
            comment, documented = [stripped[4:].strip()], True
        elif stripped.startswith("#") and documented:
            comment.append(stripped[1:].strip())
        elif match := re.match(r"( *)([A-Za-z_/.]+):(?: (.*))?$", line):
            depth, name, value = len(match[1]), match[2], match[3]
            path = [(d, n) for d, n in path if d < depth] + [(depth, name)]
            dotted = ".".join(n for _, n in path)
            if value is not None or documented:
                found.append((dotted, value or "see below", " ".join(comment)))
            comment, documented = [], False
        elif not stripped:
            comment, documented = [], False
    return found


def page() -> str:
    table = [
        f"| `{path}` | {default if default == 'see below' else f'`{default}`'} | {meaning} |"
        for path, default, meaning in rows((CHART / "values.yaml").read_text())
    ]
    return HEAD + "\n".join(table) + "\n"


def main() -> int:
    readme = CHART / "README.md"
    if "--check" in sys.argv:
        return int(not readme.exists() or readme.read_text() != page())
    readme.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
