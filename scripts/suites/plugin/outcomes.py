"""A plugin of pytest that writes down what became of each test as it happens, so
that a run which has to be stopped has not been for nothing.

One line of JSON for each phase of a test, to the file that SUITE_OUTCOMES names.
Tests that the file names already are not run again: the run is taken up behind one
that hung.
"""

import json
import os

_done = set()
if os.path.exists(os.environ["SUITE_OUTCOMES"]):
    with open(os.environ["SUITE_OUTCOMES"]) as before:
        _done = {json.loads(line)["id"] for line in before if line.endswith("\n")}
_file = open(os.environ["SUITE_OUTCOMES"], "a", buffering=1)


def _write(**fields) -> None:
    _file.write(json.dumps(fields) + "\n")


def pytest_collection_modifyitems(config, items):
    again = [item for item in items if item.nodeid in _done]
    if again:
        config.hook.pytest_deselected(items=again)
        items[:] = [item for item in items if item.nodeid not in _done]


def pytest_runtest_logstart(nodeid, location):
    _write(id=nodeid, phase="start")


def pytest_runtest_logreport(report):
    message = ""
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        # The last lines hold what went wrong in every style of traceback.
        message = crash.message if crash else "\n".join(str(report.longrepr).splitlines()[-12:])
    _write(id=report.nodeid, phase=report.when, outcome=report.outcome,
           expected=hasattr(report, "wasxfail"), message=message[:4000], seconds=report.duration)


def pytest_collectreport(report):
    if report.failed:
        _write(id=report.nodeid, phase="collect", outcome="failed", message=str(report.longrepr)[-4000:])
