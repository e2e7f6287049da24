"""What honest clients notice of an attack: `make attacks`, part of `make chaos`.

    python3 scripts/attacks [--binary PATH] [--seconds N] [--only NAME]

Sixteen clients ask 1,600 times a second, and others come and go; before each attack
undisturbed, then beside an attacker at full speed, from the same address. There may be
no error, and the 99th percentile may be three times the undisturbed one. The attacker runs
at the lowest priority, because a real one brings a machine of its own: what it costs pgvalet
and Postgres is measured, what it costs to make the attack is not.
"""

import argparse
import glob
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

import load
from attackers import ATTACKS
from report import table
from world import ROOT, World, die

CLIENTS, RATE = 16, 1600
MOST = 3.0
# Both streams of the log lead into a pipe that nobody reads.
UNREAD = [sys.executable, "-c",
          "import os, sys; r, w = os.pipe(); os.dup2(w, 1); os.dup2(w, 2); os.execv(sys.argv[1], sys.argv[1:])"]


class Logins(threading.Thread):
    """Whoever comes, asks once and goes, ten times a second."""

    def __init__(self, target) -> None:
        super().__init__()
        self.target, self.over = target, threading.Event()
        self.times: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        while not self.over.wait(0.1):
            began = time.perf_counter()
            try:
                client = load.Client(self.target)
                client.query("select 1")
                client.close()
            except (OSError, SystemExit) as error:
                self.errors.append(str(error))
            self.times.append(time.perf_counter() - began)

    def ended(self) -> tuple[float, list[str]]:
        self.over.set()
        self.join()
        times = sorted(self.times)
        return times[int(0.99 * (len(times) - 1))] * 1000, self.errors


def honest(world: World, target, seconds: float) -> tuple[float, float, list[str]]:
    """p99 in ms of the sixteen, that of those who come and go, and what went wrong."""
    logins = Logins(target)
    logins.start()
    prefix = world.directory / "honest"
    command = ["pgbench", "-n", "-S", "-c", str(CLIENTS), "-j", "1", "-R", str(RATE), "-T", str(seconds),
               "--log", f"--log-prefix={prefix}"]
    done = subprocess.run(command, env=world.client_environment(target.port, "bench"),
                          capture_output=True, text=True, cwd=world.directory)
    of_logins, errors = logins.ended()
    if done.returncode or "aborted" in done.stderr:
        errors.append(done.stderr.strip().splitlines()[-1])
    latencies = []
    for log in glob.glob(f"{prefix}.*"):
        with open(log) as file:
            # A rate is kept by a schedule: how late a transaction began belongs to its time.
            latencies += [int(fields[2]) for fields in map(str.split, file)]
        os.unlink(log)
    if not latencies:
        return float("inf"), of_logins, errors
    latencies.sort()
    return latencies[int(0.99 * (len(latencies) - 1))] / 1000, of_logins, errors


def attacked(world: World, target, name: str, seconds: int) -> list:
    where, _ = ATTACKS[name]
    quiet, quiet_logins, _ = honest(world, target, max(seconds // 4, 3))
    attacker = subprocess.Popen(["nice", "-n", "19", sys.executable, Path(__file__).parent / "attackers.py", name,
                                 str(target.ports[where])], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(0.5)  # Until it is at full speed.
    p99, logins, errors = honest(world, target, seconds)
    if attacker.poll() is not None:
        die(f"the attacker of {name} ended by itself: {attacker.stderr.read().decode()[-1000:]}")
    attacker.kill()
    attacker.communicate()
    for error in sorted(set(errors))[:3]:
        print(f"{name}: {error}", flush=True)
    time.sleep(1)  # Until its sessions are gone.
    return [name, f"{quiet:.2f}", f"{p99:.2f}", f"{p99 / quiet:.1f}",
            f"{quiet_logins:.1f}", f"{logins:.1f}", str(len(errors))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="attacks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pgvalet")
    parser.add_argument("--seconds", type=int, default=20, help="of each attack")
    parser.add_argument("--only", action="append", help="an attack, by a part of its name")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    names = [n for n in ATTACKS if not options.only or any(part in n for part in options.only)]
    if not names:
        die(f"no attack is called {options.only}; there are {', '.join(ATTACKS)}")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows = []
    with World() as world:
        world.postgres()
        target = world.pgvalet(options.binary, identities=2, store=True)
        deaf = world.pgvalet(options.binary, "deaf", identities=2, store=True, prefix=UNREAD)
        for name in names:
            rows.append(attacked(world, target, name, options.seconds))
            print(" | ".join(rows[-1]), flush=True)
            if name == "denials":
                rows.append(attacked(world, deaf, name, options.seconds))
                rows[-1][0] = "denials, the log unread"
                print(" | ".join(rows[-1]), flush=True)
    print(table(["attack", "p99 ms, quiet", "attacked", "ratio", "login p99 ms, quiet", "attacked", "errors"], rows))
    failed = [row[0] for row in rows if float(row[3]) > MOST or row[6] != "0"]
    print(f"attacks: {len(rows)}, {len(rows) - len(failed)} within {MOST:g} times the quiet p99 and without an error"
          + (f"; not: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


main()
