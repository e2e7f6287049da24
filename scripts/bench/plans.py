"""What `reuse_plans` is worth to a driver that names no statements: `make plans`.

    python3 scripts/bench/plans.py [--binary PATH] [--rounds N] [--seconds N]

pgbench -S -M extended straight to Postgres, through pgvalet, and through pgvalet with the
option. Interleaved rounds; a ratio is that to Postgres alone, the median of the rounds.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

import load
from report import Ratio, judged, table
from world import ROOT, World

CLIENTS = (1, 16, 64)
# From this many clients on, the option has to be worth as much beside Postgres alone.
WANTED_FROM, WANTED = 16, 1.25


def main() -> None:
    parser = argparse.ArgumentParser(prog="plans")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/pgo/pgvalet")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="of each run of pgbench")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    rows, failed = [], False
    with World() as world:
        targets = [
            world.postgres(),
            world.pgvalet(options.binary, "without"),
            world.pgvalet(options.binary, "with", keys="reuse_plans = true"),
        ]
        tps: dict = {(t.name, n): [] for t in targets for n in CLIENTS}
        cpu: dict = {(t.name, n): [] for t in targets for n in CLIENTS}
        for number in range(options.rounds):
            for clients in CLIENTS:
                turn = number % len(targets)
                for target in targets[turn:] + targets[:turn]:
                    sample = load.pgbench(world, target, clients, ["-M", "extended"], options.seconds, "disable")
                    tps[target.name, clients].append(sample.tps)
                    cpu[target.name, clients].append(sample.cpu)
        for clients in CLIENTS:
            for target in targets:
                ratio = Ratio(tps[target.name, clients], tps["direct", clients])
                wanted = WANTED if target.name == "with" and clients >= WANTED_FROM else None
                shown = judged(str(ratio), ratio.json(), wanted, True)
                failed |= shown.endswith("✗")
                rows.append([f"{target.name}, {clients}", f"{median(tps[target.name, clients]):,.0f}", shown,
                             f"{median(cpu[target.name, clients]):.1f}" if target.process else ""])
    print(table(["extended, clients", "TPS", "to Postgres alone", "CPU us"], rows))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
