"""Instructions of pgvalet per transaction, counted by callgrind: the figure
that is the same on a busy machine, for comparing two versions of the code.

    python3 scripts/bench/instructions.py [--binary PATH] [--top N]

What the kernel does for a system call is not in it.
"""

import argparse
import glob
import re
import shutil
import subprocess
from pathlib import Path

from report import table
from world import ROOT, World, die

CASES = {
    "simple, 1 client": ["-M", "simple", "-c", "1", "-t", "2000"],
    "simple, 16 clients": ["-M", "simple", "-c", "16", "-t", "125"],
    "prepared, 1 client": ["-M", "prepared", "-c", "1", "-t", "2000"],
    "extended, 1 client": ["-M", "extended", "-c", "1", "-t", "2000"],
    "login and transaction": ["-C", "-c", "1", "-t", "300"],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="instructions")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pgvalet")
    parser.add_argument("--top", type=int, default=0, help="the functions that cost most, of each case")
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
            total = int(re.search(r"^(?:totals|summary): (\d+)", Path(dump).read_text(), re.M)[1])
            rows.append([name, f"{total / transactions:,.0f}".replace(",", " ")])
            if options.top:
                print(f"\n{name}: {rows[-1][1]}")
                annotate(dump, transactions, options.top)
        print("\n" + table(["instructions per transaction", ""], rows))


def annotate(dump: str, transactions: int, top: int) -> None:
    text = subprocess.run(["callgrind_annotate", "--threshold=100", dump], capture_output=True, text=True).stdout
    shown = 0
    for line in text.splitlines():
        found = re.match(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+(.*)", line)
        if found and "PROGRAM TOTALS" not in line and shown < top:
            shown += 1
            each = int(found[1].replace(",", "")) / transactions
            print(f"{each:10.0f}  {re.sub(r' *[[].*[]]$', '', found[2])[:150]}")


main()
