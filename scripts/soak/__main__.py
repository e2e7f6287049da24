"""Everyday work for hours: `make soak HOURS=2`, or MINUTES=3 for a short one.

    python3 scripts/soak --minutes N [--binary PATH] [--document]

Clients of psycopg, asyncpg, node-postgres, JDBC and pgbench work without a pause, while the password is rotated every
10 seconds, the configuration is reloaded with another pool_size every 15, and Postgres is restarted every 45. Each
driver keeps books of the rows that it wrote. Memory, descriptors and tasks of pgvalet are sampled once a second.

An error is explained if a restart of Postgres was under way, and it says so: 57P01 or 08006, or the end of the session
in a transaction. Everything else is unexplained. There must be none; every row of which a driver was told that it is
there is there once; and memory, descriptors and tasks at the end are what they were after the first quarter.

target/soak has the samples (samples.csv), their picture (samples.svg) and the figures (figures.json). --document puts
the picture and the figures into docs.
"""

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

import plot
from world import PASSWORD, ROOT, World, die, resident_bytes

OUT = ROOT / "target/soak"
ROTATE, RELOAD, RESTART = 10, 15, 45
# What comes of a restart may take so long to be noticed, on a busy machine.
AFTERMATH = 5
# 08003 is what asyncpg makes of the end of its session, with the server's words.
EXPLAINED = {"57P01", "57P02", "08006", "08003"}
JDBC = Path("/usr/share/java/postgresql.jar")


class Soak(World):
    def begin(self, binary: Path) -> None:
        self.data = self.initdb("-U", "direct", "--auth=trust", "--no-locale")
        (self.data / "pg_hba.conf").write_text(
            "host all direct 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        self.settings = {"shared_buffers": "128MB", "password_encryption": "scram-sha-256"}
        self.server = self.start_postgres(self.data, self.settings)
        self.wait("postgres", self.upstream, self.server, "direct", PGDATABASE="postgres")
        for sql in (f"create role bench login password '{PASSWORD}'", "create database bench owner bench"):
            self.psql(self.upstream, sql, "direct", PGDATABASE="postgres")
        subprocess.run(["pgbench", "-i", "-q", "-s", "1"], env=self.client_environment(self.upstream, "bench"),
                       check=True, capture_output=True, cwd=self.directory)
        self.psql(self.upstream, "create table soak (client int, line int)", "bench")
        self.binary = binary
        self.port, self.process, self.config = self.start_pgvalet(
            binary, "pgvalet", "bench",
            {"host": "127.0.0.1", "port": self.upstream, "dbname": "bench", "username": "bench",
             "password": PASSWORD},
            '[database.bench]\nsecret = "bench"\npool_size = 20\n'
            '[[client]]\nname = "soak"\nnetwork = ["127.0.0.0/8"]\ndatabases = ["bench"]\n')
        self.admin = re.search(r'\[admin\]\naddress = "127.0.0.1:(\d+)"', self.config.read_text())[1]

    def restart(self) -> None:
        self.server.send_signal(signal.SIGINT)
        self.server.wait(60)
        command = [self.bin / "postgres", "-D", self.data]
        settings = {"port": self.upstream, "listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": 200,
                    "unix_socket_directories": self.socket_directory} | self.settings
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.server = self.start("postgres", command, "postgres")
        self.wait("postgres", self.upstream, self.server, "direct", PGDATABASE="postgres")

    def rotate(self) -> None:
        done = subprocess.run([self.binary, "--config", self.config, "rotate", "bench"], capture_output=True,
                              text=True, cwd=self.directory)
        if done.returncode:
            raise RuntimeError(f"pgvalet rotate: {done.stderr.strip()}")

    def reload(self) -> None:
        text = self.config.read_text()
        size = "pool_size = 20" if "pool_size = 16" in text else "pool_size = 16"
        self.config.write_text(re.sub(r"pool_size = \d+", size, text))
        self.process.send_signal(signal.SIGHUP)

    def sample(self) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        of = lambda name: sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))
        return {
            "memory, MiB": round(resident_bytes(self.process.pid) / 2**20, 1),
            "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd")),
            "tasks": int(of("pgvalet_tasks")),
            "clients": int(of("pgvalet_client_connections")),
            "server connections": int(of("pgvalet_server_connections")),
        }


class Driver:
    """Clients of one driver in a process of their own."""

    def __init__(self, name: str, command: list, environment: dict) -> None:
        self.name, self.errors, self.books = name, [], []
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        for line in self.process.stdout:
            told = json.loads(line)
            (self.books if "client" in told else self.errors).append(told)

    def end(self) -> None:
        self.process.stdin.close()
        self.reader.join(60)
        if self.process.wait(60) or not self.books:
            die(f"{self.name} failed: {self.process.stderr.read()[-2000:]}")


class Pgbench(threading.Thread):
    """Runs of a few seconds. A client of pgbench ends with its first error."""

    def __init__(self, soak: Soak) -> None:
        super().__init__()
        self.soak, self.over, self.done, self.errors = soak, threading.Event(), 0, []

    def run(self) -> None:
        while not self.over.is_set():
            began = time.time()
            done = subprocess.run(["pgbench", "-n", "-b", "simple-update", "-M", "prepared", "-c", "4", "-T", "5"],
                                  env=self.soak.client_environment(self.soak.port, "bench"), capture_output=True,
                                  text=True, cwd=self.soak.directory)
            if match := re.search(r"actually processed: (\d+)", done.stdout):
                self.done += int(match[1])
            for line in done.stderr.splitlines():
                if re.search(r"FATAL|ERROR|aborted|error:", line):
                    self.errors.append({"at": time.time(), "since": began, "error": line,
                                        "code": "57P01" if "administrator command" in line else ""})


def drivers(soak: Soak) -> list[Driver]:
    python = ROOT / ".cache/venv/bin/python3"
    dsn = f"postgresql://anyone@127.0.0.1:{soak.port}/bench?sslmode=disable"
    worker = Path(__file__).parent
    found = []
    for name in ("psycopg", "asyncpg"):
        for _ in range(2):
            number = len(found)
            found.append(Driver(name, [python, worker / "workers.py", name, number, dsn], soak.environment))
    modules = ROOT / ".cache/node"
    if (modules / "node_modules/pg").exists():
        environment = soak.environment | {"SOAK_NODE_MODULES": str(modules)}
        found.append(Driver("node-postgres", ["node", worker / "worker.mjs", len(found), dsn], environment))
    if JDBC.exists():
        url = f"jdbc:postgresql://127.0.0.1:{soak.port}/bench?user=anyone&sslmode=disable"
        found.append(Driver("JDBC", ["java", "-Xmx64m", "-cp", JDBC, worker / "Worker.java", len(found), url],
                            soak.environment))
    return found


def wrong_rows(soak: Soak, books: list[dict]) -> list[str]:
    """Rows that are not there as often as the books say."""
    text = soak.psql(soak.upstream, "select client, line, count(*) from soak group by 1, 2", "direct")
    there = {}
    for row in text.splitlines():
        client, line, count = map(int, row.split("|"))
        there[client, line] = count
    wrong = []
    for book in books:
        client, doubt = book["client"], set(book["doubt"])
        told = {n for first, last in book["there"] for n in range(first, last + 1)}
        wrong += [f"client {client}, row {n}: told, and there {there.get((client, n), 0)} times"
                  for n in told if there.get((client, n)) != 1]
        wrong += [f"client {client}, row {line}: there {count} times, and not told" for (c, line), count in there.items()
                  if c == client and line not in told and (line not in doubt or count > 1)]
    return wrong


def unexplained(errors: list[tuple[str, dict]], restarts: list[tuple[float, float]]) -> list[str]:
    def explained(error: dict) -> bool:
        during = any(error.get("since", error["at"]) <= end + AFTERMATH and error["at"] >= begin
                     for begin, end in restarts)
        silent = error["code"] in ("", "ECONNRESET")
        return during and (error["code"] in EXPLAINED or silent)

    return [f'{name}: {error["code"]} {error["error"]}' for name, error in errors if not explained(error)]


def flat(samples: list[dict], name: str) -> tuple[float, float, bool]:
    """The median of the second quarter, that of the last, and whether that is the same."""
    values = [sample[name] for sample in samples]
    quarter = max(len(values) // 4, 1)
    before, after = median(values[quarter:2 * quarter]), median(values[-quarter:])
    return before, after, after <= before * 1.15 + 2


def work(soak: Soak, seconds: float) -> dict:
    began = time.time()
    workers, bench = drivers(soak), Pgbench(soak)
    bench.start()
    samples, marks, restarts, wrong = [], [], [], []
    due = {"rotation": ROTATE, "reload": RELOAD, "restart": RESTART}
    every = dict(due)
    while (now := time.time() - began) < seconds:
        samples.append({"seconds": round(now, 1)} | soak.sample())
        for kind, at in due.items():
            if now < at:
                continue
            due[kind] = at + every[kind]
            marks.append((now, kind))
            try:
                if kind == "restart":
                    begin = time.time()
                    soak.restart()
                    restarts.append((begin, time.time()))
                else:
                    getattr(soak, {"rotation": "rotate", "reload": "reload"}[kind])()
            except RuntimeError as error:
                wrong.append(str(error))
        if soak.process.poll() is not None:
            die("pgvalet has ended: " + (soak.directory / "pgvalet.log").read_text()[-2000:])
        time.sleep(max(0, 1 - (time.time() - began - now)))
    bench.over.set()
    bench.join()
    for worker in workers:
        worker.end()
    books = [book for worker in workers for book in worker.books]
    errors = [(worker.name, error) for worker in workers for error in worker.errors]
    errors += [("pgbench", error) for error in bench.errors]
    wrong += unexplained(errors, restarts) + wrong_rows(soak, books)
    kinds = [kind for _, kind in marks]
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / "samples.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, samples[0])
        writer.writeheader()
        writer.writerows(samples)
    names = sorted({worker.name for worker in workers}) + ["pgbench"]
    title = f"pgvalet at work for {seconds / 60:.0f} minutes, with clients of {', '.join(names)}"
    (OUT / "samples.svg").write_text(plot.svg(title, samples, marks))
    return {
        "minutes": round(seconds / 60, 1), "drivers": names,
        "transactions": sum(book["written"] for book in books) + bench.done,
        "rotations": kinds.count("rotation"), "reloads": kinds.count("reload"), "restarts": len(restarts),
        "errors": len(errors), "in_doubt": sum(len(book["doubt"]) for book in books), "wrong": wrong,
        "flat": {name: flat(samples, name) for name in ("memory, MiB", "descriptors", "tasks")},
    }


def summary(result: dict) -> str:
    flat_ = ", ".join(f"{name} {before:g} → {after:g}" for name, (before, after, _) in result["flat"].items())
    return (f"soak: {result['minutes']:g} minutes, {result['transactions']:,} transactions of {len(result['drivers'])} "
            f"drivers, {result['rotations']} rotations, {result['reloads']} reloads, {result['restarts']} restarts of "
            f"Postgres; {result['errors']} errors, {len(result['wrong'])} unexplained; {flat_}")


def document(result: dict) -> None:
    page = ROOT / "docs/RELIABILITY.md"
    begin, end = "<!-- soak -->\n", "<!-- /soak -->"
    text = page.read_text()
    if begin not in text:
        die(f"{page} has no place for the figures: {begin.strip()}")
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    rows = "\n".join(f"| {name} | {before:g} | {after:g} |" for name, (before, after, _) in result["flat"].items())
    build = "" if result["build"] == "release" else f" of a {result['build']} build"
    figures = (f"{result['minutes']:g} minutes{build} with {', '.join(result['drivers'])}: {result['transactions']:,} "
               f"transactions, {result['rotations']} rotations, {result['reloads']} reloads, {result['restarts']} "
               f"restarts of Postgres. {result['errors']} errors, each during a restart; {result['in_doubt']} rows in "
               f"doubt, every other one exactly once; {len(result['wrong'])} unexplained errors.\n\n"
               f"| | second quarter | last quarter |\n|---|---|---|\n{rows}\n\n"
               "![Memory, descriptors and tasks over time](soak.svg)\n")
    page.write_text(head + begin + figures + end + tail)
    (ROOT / "docs/soak.svg").write_text((OUT / "samples.svg").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/pgvalet")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--document", action="store_true", help="put the figures into docs/RELIABILITY.md")
    options = parser.parse_args()
    with Soak() as soak:
        soak.begin(options.binary.resolve())
        result = work(soak, options.minutes * 60) | {"build": options.binary.resolve().parent.name}
    (OUT / "figures.json").write_text(json.dumps(result, indent=2) + "\n")
    for line in result["wrong"][:20]:
        print(line)
    print(summary(result))
    risen = [name for name, (_, _, same) in result["flat"].items() if not same]
    if risen:
        print(f"soak: what has risen: {', '.join(risen)}")
    if options.document and not result["wrong"] and not risen:
        document(result)
    sys.exit(1 if result["wrong"] or risen else 0)


main()
