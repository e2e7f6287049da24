"""What a run of pgbench does not show: memory, start-up, system calls."""

import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from load import Client, tls_context
from world import Target, World, die, resident_bytes


def raise_open_files(wanted: int) -> int:
    """As many open files as the system allows; how many clients that makes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - 500)


def bytes_per_idle_client(target: Target, clients: int, tls: bool) -> float:
    """What the process grew by for a client that has run a query and waits."""
    context = tls_context() if tls else None
    warm = [Client(target, context) for _ in range(100)]
    for client in warm:
        client.query("select 1")
    time.sleep(0.5)
    before = resident_bytes(target.process.pid)
    idle = []
    for _ in range(clients):
        client = Client(target, context)
        client.query("select 1")
        idle.append(client)
    time.sleep(1)
    grown = resident_bytes(target.process.pid) - before
    for client in warm + idle:
        client.close()
    return grown / clients


def start_up_ms(world: World, binary: Path, number: int) -> float:
    """From exec to the answer of a first query, its server login included."""
    target = world.pgvalet(binary, f"start-{number}")
    world.stop(target.process)
    began = time.perf_counter()
    process = world.start(f"start-{number}", [binary, "--config", target.config, "run"])
    target.process = process
    while True:
        try:
            client = Client(target)
            break
        except ConnectionRefusedError:
            if time.perf_counter() - began > 10:
                die("pgvalet does not start")
            time.sleep(0.0005)
    client.query("select 1")
    took = time.perf_counter() - began
    client.close()
    world.stop(process)
    return took * 1000


QUERY = "select abalance from pgbench_accounts where aid = 1"


def system_calls(world: World, target: Target) -> dict[str, float] | None:
    """System calls per simple transaction of one client, by name."""
    client = Client(target)
    client.query(QUERY)
    calls = traced(world, target, 5000, lambda: client.query(QUERY))
    client.close()
    return calls


def system_calls_of_a_login(world: World, target: Target) -> dict[str, float] | None:
    """System calls per login with one transaction, of one client after the other."""
    def login() -> None:
        client = Client(target)
        client.query(QUERY)
        client.goodbye()

    login()
    return traced(world, target, 1000, login)


def traced(world: World, target: Target, times: int, work: Callable[[], None]) -> dict[str, float] | None:
    """System calls of the target for each time that the work is done, by name."""
    strace = shutil.which("strace")
    if not strace:
        return None
    table = world.directory / f"strace-{target.name}"
    tracer = subprocess.Popen(
        [strace, "-f", "-c", "-o", str(table), "-p", str(target.process.pid)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    tracer.stderr.readline()  # "strace: Process … attached"
    time.sleep(0.5)
    for _ in range(times):
        work()
    tracer.send_signal(2)
    tracer.communicate(timeout=10)
    calls = {}
    for line in table.read_text().splitlines():
        # "% time     seconds  usecs/call     calls    errors syscall"
        if found := re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line):
            if found[2] != "total":
                calls[found[2]] = int(found[1]) / times
    return {name: n for name, n in sorted(calls.items(), key=lambda c: -c[1]) if n >= 0.01}
