"""What it costs that server connections are cleaned between identities: `make identities`.

    python3 scripts/bench/identities.py [--binary PATH] [--rounds N] [--seconds N]

The same eight processes of eight clients each, of one [[client]] rule, of two and of eight, on
one pool of 20. Interleaved rounds; a ratio is that to one rule, the median of the rounds.
"""

import argparse
import re
import subprocess
from pathlib import Path
from statistics import median

from report import table
from world import ROOT, World, cpu_seconds, die

PROCESSES, CLIENTS = 8, 8
IDENTITIES = (1, 2, 8)
MODES = ("simple", "prepared")


def run(world: World, target, identities: int, mode: str, seconds: int) -> tuple[float, float]:
    """Transactions a second, and microseconds of CPU for each."""
    before = cpu_seconds(target.process.pid)
    command = ["pgbench", "-n", "-S", "-M", mode, "-c", str(CLIENTS), "-T", str(seconds)]
    loads = []
    for n in range(PROCESSES):
        environment = world.client_environment(target.port, f"bench-{n % identities}")
        loads.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, cwd=world.directory))
    transactions = 0
    for load in loads:
        out, error = load.communicate()
        if load.returncode:
            die(error)
        transactions += int(re.search(r"actually processed: (\d+)", out)[1])
    used = cpu_seconds(target.process.pid) - before
    return transactions / seconds, used / transactions * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="identities")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/pgo/pgvalet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each run of pgbench")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    with World() as world:
        world.postgres()
        targets = {n: world.pgvalet(options.binary, f"identities-{n}", identities=n) for n in IDENTITIES}
        seen: dict = {}
        for _ in range(options.rounds):
            for mode in MODES:
                for n, target in targets.items():
                    seen.setdefault((mode, n), []).append(run(world, target, n, mode, options.seconds))
    rows = []
    for mode in MODES:
        for n in IDENTITIES:
            pairs = list(zip(seen[mode, n], seen[mode, 1]))
            tps = median(own[0] / one[0] for own, one in pairs)
            cpu = median(own[1] / one[1] for own, one in pairs)
            rows.append([mode, str(n), f"{median(r[0] for r in seen[mode, n]):,.0f}",
                         f"{median(r[1] for r in seen[mode, n]):.1f}", f"{tps:.2f}", f"{cpu:.2f}"])
    print(table(["mode", "identities", "TPS", "CPU us a transaction", "TPS to one", "CPU to one"], rows))


if __name__ == "__main__":
    main()
