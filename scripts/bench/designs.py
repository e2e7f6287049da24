"""Other designs of the data path, measured side by side: `make designs`.

    python3 scripts/bench/designs.py [--only NAME] [--rounds N] [--seconds N]

Relays that do nothing but move bytes, each on another foundation (benches/relay),
show what a design could win at most; pgvalet with other threads and another way
to Postgres, what those are worth. Interleaved rounds; a ratio is that of the CPU
time to the first of its group, the median of the ratios of the rounds. A whole
run writes its table into docs/PERFORMANCE.md.
"""

import argparse
import os
import sys
from pathlib import Path
from statistics import median

import document
import load
from report import Ratio, table
from world import ROOT, Target, World, die, free_port

RELAY = ROOT / "target/relay/release/relay"
PGVALET = ROOT / "target/pgo/pgvalet"

RELAYS = {
    "relay: tokio, 1 thread": ("tokio", 1),
    "relay: tokio, 2 threads": ("tokio", 2),
    "relay: a runtime each, 1 thread": ("own", 1),
    "relay: a runtime each, 2 threads": ("own", 2),
    "relay: io_uring by tokio-uring": ("tokio-uring", 1),
    "relay: io_uring by monoio": ("monoio", 1),
    "relay: the same, no buffer while idle": ("monoio-lean", 1),
}
CLIENTS = (1, 16, 64)
WORKERS = {"pgvalet, 1 worker": 1, "pgvalet, 2 workers": 2}
SOCKET = "pgvalet, 1 worker, unix socket to Postgres"


def relay(world: World, name: str) -> Target:
    design, threads = RELAYS[name]
    port = free_port()
    process = world.start(name, [RELAY, design, threads, port, world.upstream])
    world.wait(name, port, process, "direct")
    target = Target(name, port, process, "")
    target.user = "direct"
    return target


def pgvalet(world: World, name: str, workers: int, **more) -> Target:
    return world.pgvalet(PGVALET, name, tables=f"[runtime]\nworkers = {workers}\n", **more)


def main() -> None:
    parser = argparse.ArgumentParser(prog="designs")
    parser.add_argument("--only", action="append", default=[], help="those whose name begins so")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="of each run of pgbench")
    options = parser.parse_args()
    for binary in (RELAY, PGVALET):
        if not binary.exists():
            die(f"{binary} is missing; run make designs")
    starts = {name: relay for name in RELAYS}
    starts["haproxy"] = lambda world, _: world.haproxy()
    starts |= {name: lambda world, name, n=n: pgvalet(world, name, n) for name, n in WORKERS.items()}
    starts[SOCKET] = lambda world, name: pgvalet(world, name, 1, host=world.socket_directory)
    if options.only:
        starts = {name: start for name, start in starts.items() if name.startswith(tuple(options.only))}
    with World() as world:
        postgres = world.postgres()
        targets = [start(world, name) for name, start in starts.items()]
        rows = {t.name: [t.name] for t in targets}
        for clients in CLIENTS:
            samples = {t.name: [] for t in targets}
            for number in range(options.rounds):
                for target in targets[number % len(targets):] + targets[:number % len(targets)]:
                    samples[target.name].append(load.pgbench(world, target, clients, [], options.seconds))
            for name, runs in samples.items():
                first = first_of_group(name, samples)
                mine, other = ([s.cpu for s in of] for of in (runs, first))
                rows[name] += [f"{median(mine):.1f}", "" if runs is first else str(Ratio(mine, other)),
                               f"{median(s.tps for s in runs):,.0f}"]
            print(f"{clients} client{'s' if clients > 1 else ''}", file=sys.stderr, flush=True)
    head = ["pgbench -S"] + [text for n in CLIENTS for text in (f"CPU µs, {n}", "ratio", f"TPS, {n}")]
    print(table(head, list(rows.values())))
    if not options.only:
        note = (f"{os.cpu_count()} cores, Postgres {postgres.version}; {options.rounds} interleaved rounds of "
                f"{options.seconds} s, with 1, 16 and 64 clients; a ratio is that of the CPU time to "
                "the first of its group.")
        document.put("designs", f"{note}\n\n{document.rows(head, list(rows.values()))}")


def first_of_group(name: str, samples: dict) -> list:
    group = name.split(",")[0].split(":")[0]
    return next(runs for other, runs in samples.items() if other.startswith(group))


main()
