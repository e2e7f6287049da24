"""pgvalet beside PgBouncer, a plain TCP relay, and Postgres itself.

    python3 scripts/bench [--quick] [--only NAME] [--binary PATH] [--before PATH]

Interleaved rounds on one machine; what is compared is the median of the ratios
of measurements that were taken next to each other. See docs/PERFORMANCE.md.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import load
import measure
import document
from report import Ratio, Tail, judged, quantile, table
from world import ROOT, Target, World, die, pgbouncers


@dataclass
class Case:
    name: str
    clients: int
    options: list[str]
    sslmode: str = "disable"
    # What has to hold of pgvalet ÷ PgBouncer: TPS, CPU, p99.
    want: dict[str, float] = field(default_factory=dict)


def cases() -> list[Case]:
    found = []
    for mode, cpu in (("simple", 1.0), ("prepared", 0.9), ("extended", 0.9)):
        for clients in (1, 16, 64):
            want = {"cpu": cpu, "tps": 1.0 if clients == 1 else 1.1}
            if clients == 64:
                want["p99"] = 1.0
            found.append(Case(f"{mode}, {clients}", clients, ["-M", mode], want=want))
    found.append(Case("login each, 4", 4, ["-C"], want={"cpu": 1.0, "tps": 1.0}))
    found.append(Case("TLS simple, 16", 16, ["-M", "simple"], "require"))
    found.append(Case("TLS prepared, 16", 16, ["-M", "prepared"], "require"))
    found.append(Case("TLS login each, 4", 4, ["-C"], "require"))
    return found


QUICK = {"simple, 1", "simple, 64", "prepared, 16", "login each, 4"}

BULK = {"result": load.bulk_result, "COPY out": load.bulk_copy_out, "COPY in": load.bulk_copy_in}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


Samples = dict[str, dict[str, list[load.Sample]]]


def transactions(world: World, targets: list[Target], selected: list[Case], rounds: range, seconds: float,
                 samples: Samples) -> None:
    """Adds to case → target → a sample a round."""
    for number in rounds:
        for case in selected:
            # Whoever comes first finds the caches colder: they take turns.
            order = targets[number % len(targets):] + targets[:number % len(targets)]
            for target in order:
                reference = target.name not in ("pgvalet", "pgbouncer", "before")
                # A reference needs no ratio, and TLS and logins are no relay's.
                if reference and (number not in (0, 3, 6) or case.sslmode != "disable" or "-C" in case.options):
                    continue
                sample = load.pgbench(world, target, case.clients, case.options, seconds, case.sslmode)
                samples[case.name][target.name].append(sample)
        say(f"round {number - rounds.start + 1} of {len(rounds)}")


def strongest_pgbouncer(world: World) -> Target:
    """The one of all PgBouncers at hand that needs the least CPU, for transactions and logins together."""
    found = pgbouncers()
    rivals = {built: world.pgbouncer(command) for built, command in found.items()}
    costs = {built: 1.0 for built in rivals}
    for clients, options in ((16, ["-M", "simple"]), (16, ["-M", "prepared"]), (4, ["-C"])):
        runs: dict[str, list[float]] = {built: [] for built in rivals}
        for _ in range(3):
            for built, target in rivals.items():
                runs[built].append(load.pgbench(world, target, clients, options, 1, "disable").cpu)
        for built, cpu in runs.items():
            costs[built] *= median(cpu)
    best = min(costs, key=costs.__getitem__)
    for built, target in rivals.items():
        say(f"PgBouncer {target.version}, {built}: {costs[built] ** (1 / 3):.1f} µs of CPU{'; compared with' if built == best else ''}")
        if built != best:
            world.stop(target.process)
    world.strongest = found[best]
    rivals[best].version += f" ({best})"
    return rivals[best]


def ratios(mine: list[load.Sample], other: list[load.Sample]) -> dict[str, Ratio]:
    found = {
        what: Ratio([getattr(s, what) for s in mine], [getattr(s, what) for s in other])
        for what in ("tps", "cpu", "p50")
    }
    found["p99"] = Tail(*([s.latencies for s in runs] for runs in (mine, other)), 0.99)
    return found


def undecided(case: Case, samples: Samples, theirs: str) -> bool:
    """Whether the rounds do not tell on which side of a limit a figure is."""
    found = ratios(samples[case.name]["pgvalet"], samples[case.name][theirs])
    return any(not judged("", found[what].json(), limit, what == "tps") for what, limit in case.want.items())


def bulk(targets: list[Target], rounds: int) -> dict:
    """What is moved → target → MB/s a round; as many rounds again where they do
    not tell on which side of its limit a ratio is."""
    speeds = {}
    for tls in (False, True):
        for name, run in BULK.items():
            label = ("TLS " if tls else "") + name
            runs = speeds[label] = {t.name: [] for t in targets}
            clients = [(t.name, load.Client(t, load.tls_context() if tls else None)) for t in targets]
            to, limit = bulk_limit(label, targets[2].name)
            for number in range(2 * rounds):
                if number == rounds and judged("", Ratio(runs["pgvalet"], runs[to]).json(), limit, True):
                    break
                for target, client in clients[number % len(clients):] + clients[:number % len(clients)]:
                    runs[target].append(run(client))
            for _, client in clients:
                client.close()
    say("large results and COPY")
    return speeds


def bulk_limit(label: str, other: str) -> tuple[str, float]:
    """Beside whom, and at least how fast."""
    return (other, 1.0) if label.startswith("TLS") else ("direct", 0.9)


def verdict(ratio: Ratio, limit: float | None, at_most: bool) -> str:
    return judged(str(ratio), ratio.json(), limit, not at_most)


def compare(selected: list[Case], samples: dict, theirs: str) -> tuple[str, dict]:
    rows, data = [], {}
    for case in selected:
        found = ratios(samples[case.name]["pgvalet"], samples[case.name][theirs])
        medians = {
            name: {what: round(median(getattr(s, what) for s in runs), 3) for what in ("tps", "cpu", "p50", "p99")}
            for name, runs in samples[case.name].items() if runs
        }
        for name, runs in samples[case.name].items():
            if runs:
                medians[name]["p99"] = round(quantile([s.latencies for s in runs], 0.99) / 1000, 3)
        data[case.name] = {"medians": medians, "ratios": {k: r.json() for k, r in found.items()},
                           "want": case.want, "rounds": len(samples[case.name]["pgvalet"])}
        pair = lambda what, digits: f"{medians['pgvalet'][what]:.{digits}f} / {medians[theirs][what]:.{digits}f}"
        rows.append([
            case.name,
            pair("tps", 0), verdict(found["tps"], case.want.get("tps"), False),
            pair("cpu", 1), verdict(found["cpu"], case.want.get("cpu"), True),
            pair("p50", 2),
            pair("p99", 2), verdict(found["p99"], case.want.get("p99"), True),
            *(f"{medians[n]['tps']:.0f}" if n in medians else "" for n in ("direct", "haproxy")),
            f"{medians['haproxy']['cpu']:.1f}" if "haproxy" in medians else "",
        ])
    head = ["case, clients", f"TPS (pgvalet / {theirs})", "ratio", "CPU µs", "ratio", "p50 ms", "p99 ms", "ratio",
            "direct TPS", "HAProxy TPS", "CPU µs"]
    return table(head, rows), data


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--quick", action="store_true", help="a subset, in 90 seconds")
    parser.add_argument("--only", action="append", default=[], help="cases whose name begins so, and nothing else")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, default=1, help="of each run of pgbench")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/pgo/pgvalet")
    parser.add_argument("--before", type=Path, help="an older pgvalet to compare with, instead of PgBouncer")
    options = parser.parse_args()
    for program in ("pgbench", "psql", "openssl", "setpriv"):
        if not shutil.which(program):
            die(f"{program} is missing; run scripts/setup.sh bench")
    options.binary = options.binary.resolve()
    options.before = options.before and options.before.resolve()
    if not options.binary.exists():
        die(f"{options.binary} is missing; run make release")
    began = time.monotonic()
    partial = options.quick or options.only or options.before
    selected = [c for c in cases() if
                (any(f"{c.name}$".startswith(w) for w in options.only) if options.only else not options.quick or c.name in QUICK)]
    rounds = options.rounds or (5 if options.quick else 12)
    idle_clients = measure.raise_open_files(1000 if options.quick else 8000)

    with World() as world:
        direct = world.postgres()
        ours = world.pgvalet(options.binary)
        if options.before:
            other = world.pgvalet(options.before, "before")
            targets = [ours, other]
        else:
            other = strongest_pgbouncer(world)
            haproxy = None if options.quick or options.only else world.haproxy()
            targets = [t for t in (ours, other, haproxy, None if options.quick or options.only else direct) if t]
        ours.version = subprocess.run([options.binary, "--version"], capture_output=True, text=True).stdout.split()[-1]
        machine = {
            "cores": os.cpu_count(), "kernel": platform.release(),
            "versions": {t.name: t.version for t in [direct, *targets]},
            "rounds": rounds, "seconds": options.seconds,
        }
        print(", ".join(f"{n} {v}" for n, v in machine["versions"].items()) + f"; {os.cpu_count()} cores")
        samples = {c.name: {t.name: [] for t in targets} for c in selected}
        transactions(world, targets, selected, range(rounds), options.seconds, samples)
        # What a whole run left open gets as many rounds again.
        if again := [] if partial else [c for c in selected if undecided(c, samples, other.name)]:
            say(f"again: {'; '.join(c.name for c in again)}")
            transactions(world, targets, again, range(rounds, 2 * rounds), options.seconds, samples)
        text, data = compare(selected, samples, other.name)
        print("\n" + text)
        result = {"machine": machine, "transactions": data}
        if not options.only:
            result |= figures(world, options, direct, ours, other, rounds, idle_clients)
    took = time.monotonic() - began
    print(f"\n{took:.0f} seconds; \"unsteady\": the rounds differ by more than a ratio is worth")
    write(result, partial)


def figures(world: World, options, direct: Target, ours: Target, other: Target, rounds: int, clients: int) -> dict:
    """Everything but transactions."""
    result = {}
    speeds = bulk([direct, ours, other], 9)
    rows = []
    result["megabytes_per_second"] = {}
    for name, by_target in speeds.items():
        to_direct = Ratio(by_target["pgvalet"], by_target["direct"])
        to_other = Ratio(by_target["pgvalet"], by_target[other.name])
        want = dict([bulk_limit(name, other.name)])
        rows.append([name, *(f"{median(by_target[t]):.0f}" for t in ("direct", "pgvalet", other.name)),
                     verdict(to_direct, want.get("direct"), False),
                     verdict(to_other, want.get(other.name), False)])
        result["megabytes_per_second"][name] = {t: round(median(v), 1) for t, v in by_target.items()} | {
            "to_direct": to_direct.json(), f"to_{other.name}": to_other.json(), "want": want}
    print("\n" + table(["MB/s", "direct", "pgvalet", other.name, "÷ direct", f"÷ {other.name}"], rows))

    rows = []
    limits = {False: 4, True: 24}
    for tls in (False, True):
        fresh = world.pgvalet(options.binary, f"pgvalet-idle-{int(tls)}")
        mine = measure.bytes_per_idle_client(fresh, clients, tls) / 1024
        world.stop(fresh.process)
        theirs = None
        if other.name == "pgbouncer":
            fresh = world.pgbouncer()
            theirs = measure.bytes_per_idle_client(fresh, clients, tls) / 1024
            world.stop(fresh.process)
        name = "TLS" if tls else "plaintext"
        rows.append([f"{name}, {clients} clients", f"{mine:.2f} {'✓' if mine <= limits[tls] else '✗'}",
                     f"{theirs:.2f}" if theirs else ""])
        result.setdefault("kib_per_idle_client", {})[name] = {"pgvalet": round(mine, 2), other.name: theirs and round(theirs, 2)}
    print("\n" + table(["KiB per idle client", "pgvalet", other.name], rows))

    starts = [measure.start_up_ms(world, options.binary, n) for n in range(6)]
    result["start_up_ms"] = round(median(starts), 1)
    print(f"\nstart-up to first query: {median(starts):.0f} ms {'✓' if median(starts) <= 150 else '✗'}")
    result["system_calls"] = {}
    for target in (ours, other):
        if calls := measure.system_calls(world, target):
            total = sum(calls.values())
            result["system_calls"][target.name] = {"total": round(total, 2)} | {k: round(v, 2) for k, v in calls.items()}
            each = ", ".join(f"{name} {n:.2f}" for name, n in calls.items())
            mark = ("✓" if total <= 7 else "✗") if target is ours else ""
            print(f"system calls per simple transaction, {target.name}: {total:.2f} {mark} ({each})")
    return result


def write(result: dict, partial: bool) -> None:
    """A whole run is what docs/ shows; a part of one must not replace it."""
    place = ROOT / "target/bench" if partial else ROOT / "docs"
    place.mkdir(parents=True, exist_ok=True)
    (place / "performance.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    (place / "performance.svg").write_text(document.picture(result))
    if not partial:
        document.write(result)
    print(f"written: {place.relative_to(ROOT)}/performance.json, performance.svg")


main()
