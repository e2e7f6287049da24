"""What fails through pgvalet and not without it, and which of that is known."""

import fnmatch
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from runner import BAD, Outcome, Run

DIFFERENCES = Path(__file__).resolve().parent / "differences.toml"


@dataclass
class Difference:
    """An entry of differences.toml."""
    suite: str
    modes: list[str]
    reason: str
    tests: list[str]
    # It depends on the weather: that it did not happen is nothing to mend.
    sometimes: bool = False

    def covers(self, suite: str, mode: str, test: str) -> bool:
        return (fnmatch.fnmatchcase(suite, self.suite) and mode in self.modes
                and any(fnmatch.fnmatchcase(test, pattern) for pattern in self.tests))


@dataclass
class Verdict:
    """One suite in one mode, beside direct."""
    suite: str
    mode: str
    run: Run
    direct: Run
    known: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, Outcome] = field(default_factory=dict)
    # What differences.toml says will fail, and does not any more.
    stale: list[str] = field(default_factory=list)
    # Fails without pgvalet only.
    better: list[str] = field(default_factory=list)


def known() -> list[Difference]:
    entries = tomllib.loads(DIFFERENCES.read_text()).get("difference", [])
    return [Difference(**entry) for entry in entries]


def judge(results: dict[str, dict[str, Run]], differences: list[Difference], partly: bool) -> list[Verdict]:
    verdicts = []
    for suite, runs in results.items():
        direct = runs["direct"]
        for mode, run in runs.items():
            if mode == "direct":
                continue
            verdict = Verdict(suite, mode, run, direct)
            for test, outcome in worse(run, direct).items():
                found = [entry for entry in differences if entry.covers(suite, mode, test)]
                if found:
                    verdict.known[test] = found[0].reason
                else:
                    verdict.unknown[test] = outcome
            verdict.better = sorted(set(direct.bad()) - set(run.bad()) & set(run.tests))
            for entry in differences:
                if partly or entry.sometimes or mode not in entry.modes or not fnmatch.fnmatchcase(suite, entry.suite):
                    continue
                verdict.stale += [pattern for pattern in entry.tests
                                  if not any(fnmatch.fnmatchcase(test, pattern) for test in verdict.known)]
            verdicts.append(verdict)
    return verdicts


def worse(run: Run, direct: Run) -> dict[str, Outcome]:
    """Bad here and not there. A test that is skipped here only, or does not take
    place at all, has found something out as well."""
    found = {}
    for test, there in direct.tests.items():
        here = run.tests.get(test)
        if there.status in BAD:
            continue
        if here is None:
            found[test] = Outcome("unfinished", "it was not run")
        elif here.status in BAD:
            found[test] = here
        elif here.status == "skipped" and there.status == "passed":
            found[test] = Outcome("skipped", here.message or "skipped through pgvalet only")
    for test, here in run.tests.items():
        if test not in direct.tests and here.status in BAD:
            found[test] = here
    return dict(sorted(found.items()))


def as_json(results: dict[str, dict[str, Run]], verdicts: list[Verdict]) -> dict:
    return {
        "suites": {
            suite: {
                mode: {
                    "seconds": round(run.seconds), "stopped": run.stopped, "passed": run.count("passed"),
                    "failed": run.count("failed"), "errors": run.count("error"),
                    "unfinished": run.count("unfinished"), "skipped": run.count("skipped"),
                    "bad": {test: outcome.message for test, outcome in sorted(run.bad().items())},
                }
                for mode, run in runs.items()
            }
            for suite, runs in results.items()
        },
        "only_through_pgvalet": [
            {"suite": verdict.suite, "mode": verdict.mode, "known": verdict.known,
             "unknown": {test: outcome.message for test, outcome in verdict.unknown.items()},
             "no_longer": verdict.stale, "only_without": verdict.better}
            for verdict in verdicts
        ],
    }
