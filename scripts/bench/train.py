"""What pgvalet does all day, for a compiler to see: scripts/release.sh.

    python3 scripts/bench/train.py BINARY
"""

import subprocess
import sys
from pathlib import Path

from world import World, die

# Mode and clients, TLS, seconds: logins are rare beside transactions, but long.
LOADS = [
    (["-M", "simple", "-c", "1"], "disable", 3),
    (["-M", "simple", "-c", "16"], "disable", 3),
    (["-M", "prepared", "-c", "16"], "disable", 3),
    (["-M", "extended", "-c", "16"], "disable", 3),
    (["-C", "-c", "4"], "disable", 6),
    (["-M", "simple", "-c", "16"], "require", 2),
    (["-C", "-c", "4"], "require", 2),
]

with World() as world:
    world.postgres()
    target = world.pgvalet(Path(sys.argv[1]))
    for options, sslmode, seconds in LOADS:
        done = subprocess.run(
            ["pgbench", "-n", "-S", "-T", str(seconds), *options], capture_output=True, text=True,
            env=world.client_environment(target.port, "bench", sslmode), cwd=world.directory,
        )
        if done.returncode:
            die(f"pgbench: {done.stderr}")
    # It writes down what it did at its end.
    world.stop(target.process)
