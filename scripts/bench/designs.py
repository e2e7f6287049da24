"""Other designs of the data path, measured side by side: `make designs`.

    python3 scripts/bench/designs.py [--only NAME] [--rounds N] [--seconds N]

Relays that do nothing but move bytes, each on another foundation (benches/relay),
show what a design could win at most; pgvalet with other threads and another way
to Postgres, what those are worth. Interleaved rounds; a ratio is that to the first
of its group, the median of the ratios of the rounds.
"""

import argparse
from pathlib import Path
from statistics import median

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


def pgvalet(world: World, name: str, workers: int, upstream: str | None = None) -> Target:
    return world.pgvalet(PGVALET, name, ["env", f"TOKIO_WORKER_THREADS={workers}"], host=upstream)


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
    starts[SOCKET] = lambda world, name: pgvalet(world, name, 1, world.socket_directory)
    if options.only:
        starts = {name: start for name, start in starts.items() if name.startswith(tuple(options.only))}
    with World() as world:
        world.postgres()
        targets = [start(world, name) for name, start in starts.items()]
        for clients in (1, 16, 64):
            samples = {t.name: [] for t in targets}
            for number in range(options.rounds):
                for target in targets[number % len(targets):] + targets[:number % len(targets)]:
                    samples[target.name].append(load.pgbench(world, target, clients, [], options.seconds))
            rows = []
            for name, runs in samples.items():
                group = name.split(",")[0].split(":")[0]
                first = next((s for n, s in samples.items() if n.startswith(group)), runs)
                row = [name]
                for what, digits in (("cpu", 1), ("tps", 0)):
                    mine, other = ([getattr(s, what) for s in of] for of in (runs, first))
                    row += [f"{median(mine):.{digits}f}", "" if runs is first else str(Ratio(mine, other))]
                rows.append(row)
            head = [f"simple, {clients} client{'s' if clients > 1 else ''}", "CPU µs", "ratio", "TPS", "ratio"]
            print("\n" + table(head, rows), flush=True)


main()
