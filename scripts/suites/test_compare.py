"""What counts as a difference. `make suites` runs this first: python3 scripts/suites/test_compare.py"""

import json
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

from compare import Difference, judge
from runner import Outcome, Run, read


def run(**tests: str) -> Run:
    return Run({name: Outcome(status) for name, status in tests.items()})


class Judging(unittest.TestCase):
    def verdict(self, direct: Run, through: Run, *differences: Difference):
        (verdict,) = judge({"s": {"direct": direct, "session": through}}, list(differences), partly=False)
        return verdict

    def test_only_what_passes_directly_counts(self):
        verdict = self.verdict(run(a="passed", b="failed", c="passed"), run(a="failed", b="error", c="passed"))
        self.assertEqual(list(verdict.unknown), ["a"])

    def test_a_test_that_was_not_run_or_skipped_counts(self):
        verdict = self.verdict(run(a="passed", b="passed", c="skipped"), run(b="skipped", c="skipped"))
        self.assertEqual(list(verdict.unknown), ["a", "b"])

    def test_a_test_that_only_takes_place_through_pgvalet_counts(self):
        self.assertEqual(list(self.verdict(run(), run(collecting="error")).unknown), ["collecting"])

    def test_a_known_one_does_not_fail_the_run_and_has_to_be_true(self):
        known = Difference("s", ["session"], "because", ["a*", "gone"])
        verdict = self.verdict(run(a1="passed", gone="passed"), run(a1="failed", gone="passed"), known)
        self.assertEqual((verdict.known, verdict.unknown, verdict.stale), ({"a1": "because"}, {}, ["gone"]))

    def test_one_that_fails_sometimes_may_pass(self):
        known = Difference("s", ["session"], "because", ["a"], sometimes=True)
        self.assertEqual(self.verdict(run(a="passed"), run(a="passed"), known).stale, [])

    def test_another_mode_is_another_matter(self):
        known = Difference("s", ["transaction"], "because", ["a"])
        verdict = self.verdict(run(a="passed"), run(a="failed"), known)
        self.assertEqual((list(verdict.unknown), verdict.stale), (["a"], []))


class Reading(unittest.TestCase):
    def read(self, *lines: dict, tail: str = "") -> dict[str, str]:
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines) + tail)
            file.flush()
            return {name: outcome.status for name, outcome in read(Path(file.name), r"_x\d").items()}

    @staticmethod
    def phase(when: str, outcome: str, name: str = "a_x1") -> dict:
        return {"id": name, "phase": when, "outcome": outcome, "message": ""}

    def test_a_failed_teardown_is_an_error(self):
        found = self.read({"id": "a_x1", "phase": "start"}, self.phase("setup", "passed"),
                          self.phase("call", "passed"), self.phase("teardown", "failed"))
        self.assertEqual(found, {"a": "error"})

    def test_the_first_failure_stands(self):
        found = self.read(self.phase("call", "failed"), self.phase("teardown", "failed"))
        self.assertEqual(found, {"a": "failed"})

    def test_what_is_skipped_in_its_call_is_skipped(self):
        found = self.read(self.phase("setup", "passed"), self.phase("call", "skipped"),
                          self.phase("teardown", "passed"))
        self.assertEqual(found, {"a": "skipped"})

    def test_one_that_ended_the_run_is_unfinished(self):
        found = self.read({"id": "a", "phase": "start"}, tail='{"id": "a", "pha')
        self.assertEqual(found, {"a": "unfinished"})


unittest.main()
