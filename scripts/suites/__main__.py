"""The tests of drivers and of an ORM, straight to Postgres and through pgvalet; and
moto's of Secrets Manager, on moto and on the embedded store.

    python3 scripts/suites [--only NAME] [--mode MODE] [--binary PATH] [--keep] [TEST...]

Which tests fail through pgvalet that do not fail without it? Those that are
known, and why, stand in differences.toml; any other fails the run. Results go to
target/suites.json, and with --document to docs/COMPATIBILITY.md and docs/STORE.md.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

import compare
import document
import fetch
import runner
from catalogue import Suite, suites
from servers import MODES, Servers, elapsed
from world import ROOT, die

SAYING = threading.Lock()


def say(text: str) -> None:
    with SAYING:
        print(text, flush=True)


def measure(suite: Suite, modes: list[str], options: argparse.Namespace) -> dict[str, runner.Run]:
    runs = {}
    with Servers() as servers:
        if suite.subject == "proxy":
            servers.cluster()
        for mode in modes:
            port, process, more = 0, None, {}
            if suite.subject == "proxy":
                servers.fresh_database(suite.database, suite.prepare)
                port = servers.upstream
            if mode == "store":
                more, process = servers.store(options.binary)
            elif mode != "direct":
                port, process = servers.pgvalet(options.binary, mode, sorted({suite.database, "postgres", *suite.more_databases}))
            runs[mode] = found = runner.run(suite, servers, mode, port, options.tests, more)
            if process:
                servers.stop(process)
            if mode == "direct" and not options.tests and found.count("passed") < suite.least:
                log = (servers.directory / "pytest-direct.log").read_text(errors="replace")
                die(f"of {suite.name}, only {found.count('passed')} tests pass without pgvalet:\n{log[-3000:]}")
            say(f"{suite.name}, {mode}: {found.count('passed')} passed, {len(found.bad())} failed, "
                f"{found.count('skipped')} skipped in {found.seconds:.0f} s"
                + (" (stopped: out of time)" if found.stopped else ""))
        if options.keep:
            kept = options.keep / suite.name.replace(" ", "-")
            shutil.rmtree(kept, ignore_errors=True)
            kept.mkdir(parents=True)
            for file in [*servers.directory.glob("*.log"), *servers.directory.glob("*.jsonl")]:
                shutil.copy(file, kept)
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="a suite, by a part of its name")
    parser.add_argument("--mode", action="append", choices=MODES[1:], help="not all modes")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/debug/pgvalet")
    parser.add_argument("--keep", type=Path, help="a folder for the logs")
    parser.add_argument("--jobs", type=int, default=2, help="suites at the same time")
    parser.add_argument("--document", action="store_true", help="write the results into docs")
    parser.add_argument("tests", nargs="*", help="tests of the suite, as pytest names them")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    if not os.access(options.binary, os.X_OK):
        die(f"there is no {options.binary}; make it with cargo build")

    began = time.monotonic()
    chosen = [suite for suite in suites()
              if not options.only or any(suite.called(part) for part in options.only)]
    if not chosen:
        die(f"no suite is called {options.only}; there are {', '.join(suite.name for suite in suites())}")
    documents = sorted({suite.document for suite in chosen})
    whole = [suite for suite in suites() if suite.document in documents]
    if options.document and (options.tests or options.mode or len(chosen) < len(whole)):
        die(f"only a whole run is documented, of {', '.join(suite.name for suite in whole)}")
    fetch.environment()
    for suite in chosen:
        fetch.source(suite.source)
    def modes(suite: Suite) -> list[str]:
        return ["direct", *(mode for mode in suite.modes if mode in (options.mode or MODES))]

    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(zip((suite.name for suite in chosen),
                           pool.map(lambda suite: measure(suite, modes(suite), options), chosen)))

    judged = compare.judge(results, compare.known(), partly=bool(options.tests))
    say("")
    say(document.table(chosen, judged))
    for line in document.unexpected(judged):
        say(line)
    say(f"{elapsed(began)} minutes")
    output = ROOT / "target/suites.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(compare.as_json(results, judged), indent=1) + "\n")
    for path in documents if options.document else ():
        document.write(path, [suite for suite in chosen if suite.document == path], judged)
    sys.exit(1 if any(verdict.unknown or verdict.stale for verdict in judged) else 0)


main()
