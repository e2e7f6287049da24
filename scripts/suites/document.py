"""The table, for the terminal and for docs."""

import fetch
from catalogue import Suite
from compare import Verdict
from world import ROOT

BEGIN = "<!-- suites: begin; written by `make suites DOCUMENT=1` -->\n"
END = "<!-- suites: end -->\n"


def table(chosen: list[Suite], verdicts: list[Verdict]) -> str:
    lines = ["| suite | | passed | failed | errors | skipped | only with pgvalet |",
             "|---|---|---:|---:|---:|---:|---|"]
    for suite in chosen:
        ours = [verdict for verdict in verdicts if verdict.suite == suite.name]
        rows = [("direct" if suite.subject == "proxy" else suite.name, ours[0].direct, "")]
        for verdict in ours:
            only = f"{len(verdict.known)} known" if verdict.known else ""
            if verdict.unknown:
                only += (", " if only else "") + f"{len(verdict.unknown)} not known"
            rows.append((verdict.mode, verdict.run, only or "none"))
        first, *rest = suite.name.split(" ", 1)
        name = " ".join([first, version(suite), *rest])
        for mode, run, only in rows:
            failed = run.count("failed", "unfinished")
            lines.append(f"| {name} | {mode} | {run.count('passed')} | {failed} | {run.count('error')} | "
                         f"{run.count('skipped')} | {only} |")
            name = ""
    return "\n".join(lines)


def version(suite: Suite) -> str:
    return fetch.pins()[suite.source][0].split("==")[1]


def unexpected(verdicts: list[Verdict]) -> list[str]:
    lines = []
    for verdict in verdicts:
        for test, outcome in verdict.unknown.items():
            message = " ".join(outcome.message.split())[:200]
            lines.append(f"{verdict.suite}, {verdict.mode}: {outcome.status}: {test}: {message}")
        for test in verdict.stale:
            lines.append(f"{verdict.suite}, {verdict.mode}: no longer fails, but stands in differences.toml: {test}")
    return lines


def write(document: str, chosen: list[Suite], verdicts: list[Verdict]) -> None:
    path, names = ROOT / document, {suite.name for suite in chosen}
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    lines = ["", table(chosen, verdicts), ""]
    reasons: dict[str, dict[str, set[str]]] = {}
    for verdict in verdicts:
        if verdict.suite in names:
            for test, reason in verdict.known.items():
                reasons.setdefault(reason, {}).setdefault(f"{verdict.suite}: {test}", set()).add(verdict.mode)
    proxy = any(suite.subject == "proxy" for suite in chosen)
    if reasons:
        lines += ["## What fails only through pgvalet, and why" if proxy else "What fails on the store only, and why:", ""]
    for reason, tests in reasons.items():
        lines += [f"{reason}:", ""]
        for test, modes in sorted(tests.items()):
            lines.append(f"* {test} ({' and '.join(sorted(modes))} mode)" if proxy else f"* {test}")
        lines.append("")
    path.write_text(before + BEGIN + "\n".join(lines) + END + after)
