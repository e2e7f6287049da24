"""Runs one suite against one server, and says what became of each test."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import fetch
from catalogue import Suite
from servers import PASSWORD, USER, Servers

PLUGIN = Path(__file__).resolve().parent / "plugin"
BAD = ("failed", "error", "unfinished")


@dataclass
class Outcome:
    status: str  # passed, skipped, or one of BAD
    message: str = ""


@dataclass
class Run:
    """One suite in one mode."""
    tests: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: bool = False

    def count(self, *status: str) -> int:
        return sum(outcome.status in status for outcome in self.tests.values())

    def bad(self) -> dict[str, Outcome]:
        return {name: outcome for name, outcome in self.tests.items() if outcome.status in BAD}


def workplace(suite: Suite, servers: Servers) -> Path:
    """The source, without what stands in the way of the installed package."""
    source, _ = fetch.source(suite.source)
    place = servers.directory / "source"
    if not place.exists():
        shutil.copytree(source, place)
        for name in suite.hide:
            shutil.rmtree(place / name)
    return place


def run(suite: Suite, servers: Servers, mode: str, port: int, only: list[str], more: dict[str, str]) -> Run:
    """`more`: what the environment has besides, as `Servers.store` says it."""
    place = workplace(suite, servers)
    outcomes = servers.directory / f"outcomes-{mode}.jsonl"
    outcomes.unlink(missing_ok=True)
    outcomes.touch()
    words = {"port": port, "user": USER, "password": PASSWORD}
    command = [
        fetch.PYTHON, "-s", "-m", "pytest", "-p", "outcomes", *(["-p", "store"] if mode == "store" else []),
        "-p", "no:cacheprovider", "-p", "no:randomly",
        "--timeout", suite.each, "--timeout-method", "signal", *suite.options,
        *(option.format(**words) for option in suite.more_options), *(only or suite.tests),
    ]
    environment = servers.client_environment(port) | suite.environment | more | {
        "PYTHONPATH": str(PLUGIN), "SUITE_OUTCOMES": str(outcomes), "PYTHONDONTWRITEBYTECODE": "1",
    }
    began = time.monotonic()
    log = open(servers.directory / f"pytest-{mode}.log", "wb")
    stopped = False
    while not stopped:
        left = began + suite.seconds - time.monotonic()
        process = subprocess.Popen(
            servers.tethered(command), cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )
        try:
            if finished(process, outcomes, left, suite.each + 15):
                break
            stopped = time.monotonic() > began + suite.seconds
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return Run(read(outcomes, suite.strip), time.monotonic() - began, stopped)


def finished(process: subprocess.Popen, outcomes: Path, seconds: float, silence: float) -> bool:
    """Waits until the run is over. False: the time is up, or there has been no
    word for so long that even pytest-timeout cannot end the test."""
    deadline = time.monotonic() + seconds
    size, heard = 0, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() < heard + silence:
        try:
            # A signal ends the run like a test that crashes Python: take it up behind that.
            return process.wait(0.5) >= 0
        except subprocess.TimeoutExpired:
            if (now := outcomes.stat().st_size) != size:
                size, heard = now, time.monotonic()
    return False


def read(outcomes: Path, strip: str) -> dict[str, Outcome]:
    tests: dict[str, Outcome] = {}
    for line in outcomes.read_text().splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue  # The line that was being written when the run was stopped.
        name = re.sub(strip, "", said["id"]) if strip else said["id"]
        if said["phase"] == "start":
            tests[name] = Outcome("unfinished", "it did not end in time, or ended the run")
            continue
        status = said["outcome"]
        if status == "failed" and said["phase"] != "call":
            status = "error"
        before = tests.get(name)
        if before is None or before.status == "unfinished" or status in BAD:
            if before is None or before.status not in ("failed", "error"):
                tests[name] = Outcome(status, said["message"])
        elif status == "skipped" and before.status == "passed":
            tests[name] = Outcome("skipped")
    return tests
