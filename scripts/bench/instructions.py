"""Instructions of pgvalet per transaction, counted by callgrind, and system calls
of a login: the figures that are the same on a busy machine, for comparing two
versions of the code.

    python3 scripts/bench/instructions.py [--binary PATH] [--top N] [--only CASE]

What the kernel does for a system call is not among the instructions.
"""

import argparse
import glob
import re
import shutil
import subprocess
from pathlib import Path

from measure import system_calls_of_a_login
from report import table
from world import ROOT, World, die

CASES = {
    "simple, 1 client": ["-M", "simple", "-c", "1", "-t", "2000"],
    "simple, 16 clients": ["-M", "simple", "-c", "16", "-t", "125"],
    "prepared, 1 client": ["-M", "prepared", "-c", "1", "-t", "2000"],
    "extended, 1 client": ["-M", "extended", "-c", "1", "-t", "2000"],
    "login and transaction, 1 client": ["-C", "-c", "1", "-t", "300"],
    "login and transaction, 16 clients": ["-C", "-c", "16", "-t", "20"],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="instructions")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pgvalet")
    parser.add_argument("--top", type=int, default=0, help="the functions that cost most, of each case")
    parser.add_argument("--only", default="", help="the cases that begin so")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        die("valgrind is missing; run scripts/setup.sh bench")
    with World() as world:
        world.postgres()
        out = world.directory / "callgrind"
        target = world.pgvalet(options.binary, "pgvalet", [
            "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}",
        ])
        pid = str(target.process.pid)
        control = lambda *words: subprocess.run(["callgrind_control", *words, pid], check=True, capture_output=True)
        rows = []
        for name, load in CASES.items():
            if not name.startswith(options.only):
                continue
            command = ["pgbench", "-n", "-S", *load]
            run = lambda: subprocess.run(command, env=world.client_environment(target.port, "bench"),
                                         capture_output=True, text=True, cwd=world.directory)
            run()  # server connections, and code that is translated once
            control("-i", "on")
            control("-z")
            done = run()
            control("-i", "off")
            if done.returncode:
                die(done.stderr)
            control("-d")
            dump = max(glob.glob(f"{out}.*"), key=lambda p: int(p.rsplit(".", 1)[1]))
            transactions = int(re.search(r"actually processed: (\d+)", done.stdout)[1])
            functions = annotate(dump)
            total = sum(n for n, _ in functions)
            rows.append([name, f"{total / transactions:,.0f}".replace(",", " ")])
            if options.top:
                print(f"\n{name}: {rows[-1][1]}")
                for n, function in functions[:options.top]:
                    print(f"{n / transactions:10.0f}  {function[:150]}")
        world.stop(target.process)
        print("\n" + table(["instructions per transaction", ""], rows))
        if calls := system_calls_of_a_login(world, world.pgvalet(options.binary, "traced")):
            rows = [[name, f"{n:.2f}"] for name, n in calls.items()]
            print("\n" + table(["system calls per login", f"{sum(calls.values()):.2f}"], rows))


def annotate(dump: str) -> list[tuple[int, str]]:
    """What each function cost itself. (The totals of a dump are wrong once
    counting was switched on in the middle of a function.)"""
    text = subprocess.run(["callgrind_annotate", "--auto=no", "--threshold=100", dump], capture_output=True, text=True).stdout
    found = re.findall(r"^ *([\d,]+) \( *[\d.]+%\) +(?!PROGRAM TOTALS)(\S.*?)(?: \[.*)?$", text, re.M)
    costs = [(int(n.replace(",", "")), function) for n, function in found]
    return [(n, function) for n, function in costs if n < 1 << 40]


main()
