"""The figures of docs/PERFORMANCE.md and their picture, from docs/performance.json.

    python3 scripts/bench/document.py

What a run of `make bench` wrote stands between the marks, and nothing else.
"""

import json
from pathlib import Path

from report import chart, judged

DOCS = Path(__file__).resolve().parents[2] / "docs"


def shown(ratio: dict, limit: float | None, at_least: bool = True) -> str:
    text = "unsteady" if ratio["ratio"] is None else f"{ratio['ratio']:.2f}"
    return judged(text, ratio, limit, at_least)


def rows(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figures(result: dict) -> str:
    machine = result["machine"]
    versions = machine["versions"]
    theirs = "pgbouncer"
    body = []
    for case, data in result["transactions"].items():
        mine, other = data["medians"]["pgvalet"], data["medians"][theirs]
        row = [case]
        for what, digits in (("tps", 0), ("cpu", 1), ("p99", 2)):
            row.append(f"{mine[what]:,.{digits}f} / {other[what]:,.{digits}f}")
            row.append(shown(data["ratios"][what], data["want"].get(what), what == "tps"))
        body.append(row)
    head = ["case, clients", "TPS", "ratio", "CPU µs", "ratio", "p99 ms", "ratio"]
    more = [name for name, data in result["transactions"].items() if data["rounds"] > machine["rounds"]]
    again = f"The cases {'; '.join(more)} have twice as many rounds. " if more else ""
    parts = [
        f"{machine['cores']} cores, Linux {machine['kernel']}, Postgres {versions['direct']}, "
        f"PgBouncer {versions[theirs]}; {machine['rounds']} interleaved rounds of {machine['seconds']} s. "
        f"{again}Each pair is pgvalet / PgBouncer. A ratio is the median of the ratios of the rounds; the p99 is that of "
        "all rounds together. *Unsteady* means that the rounds disagree on the ratio; a bound behind it is what they agree on.",
        rows(head, body),
    ]
    body = []
    for name, speed in result["megabytes_per_second"].items():
        body.append([
            name, *(f"{speed[t]:.0f}" for t in ("direct", "pgvalet", theirs)),
            shown(speed["to_direct"], speed["want"].get("direct")),
            shown(speed[f"to_{theirs}"], speed["want"].get(theirs)),
        ])
    parts.append(rows(["MB/s", "direct", "pgvalet", "PgBouncer", "÷ direct", "÷ PgBouncer"], body))
    body = []
    for name, limit in (("plaintext", 4), ("TLS", 24)):
        idle = result["kib_per_idle_client"][name]
        mark = "✓" if idle["pgvalet"] <= limit else "✗"
        body.append([f"KiB per idle client, {name}", f"{idle['pgvalet']:.2f} {mark}", f"{idle[theirs]:.2f}"])
    calls = result["system_calls"]
    mark = "✓" if calls["pgvalet"]["total"] <= 7 else "✗"
    body.append(["system calls per simple transaction, 1 client",
                 f"{calls['pgvalet']['total']:.2f} {mark}", f"{calls[theirs]['total']:.2f}"])
    start = result["start_up_ms"]
    body.append(["ms from the start to the first answer", f"{start:.0f} {'✓' if start <= 150 else '✗'}", ""])
    parts.append(rows(["", "pgvalet", "PgBouncer"], body))
    return "\n\n".join(parts)


def picture(result: dict) -> str:
    # A login with TLS takes ten times as long as anything else, which would be
    # told apart no more beside it: it stands in the table.
    cases = result["transactions"]
    drawn = {n: c for n, c in cases.items() if not n.startswith("TLS login")} or cases
    bars = [
        (name, {t: m["cpu"] for t, m in case["medians"].items() if t in ("pgvalet", "pgbouncer", "before")})
        for name, case in drawn.items()
    ]
    machine = result["machine"]
    note = f"µs of CPU per transaction, pgbench -S, pool of 20, {machine['cores']} cores; less is better. " + \
        ", ".join(f"{n} {machine['versions'][n]}" for n in bars[0][1] if machine["versions"][n])
    return chart("CPU time of the pooler per transaction", note, "µs", bars)


def put(mark: str, text: str) -> None:
    """Between the marks of that name, and nowhere else."""
    file = DOCS / "PERFORMANCE.md"
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, _, rest = file.read_text().partition(begin)
    _, _, after = rest.partition(end)
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def write(result: dict) -> None:
    put("figures", figures(result))


if __name__ == "__main__":
    whole = json.loads((DOCS / "performance.json").read_text())
    (DOCS / "performance.svg").write_text(picture(whole))
    write(whole)
