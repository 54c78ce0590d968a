"""What the pytest plugin does once a test asks for it: the fixture's object and the lines of the summary."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from typing import Any

from dpstruct.audit.private import assert_private
from dpstruct.audit.verdict import Verdict, claim_words
from dpstruct.testing import PrivacyViolation

__all__ = ["PrivacyTest", "summary"]

#: What one statistical test said, in plain values that travel between processes.
Entry = dict[str, Any]

_NIGHTLY = 100  # times the runs of a quick test


class PrivacyTest:
    """One test's statistical budget, from its marker and the command line; call it to audit a claim.

    Attributes
    ----------
    alpha : float
        Chance that one call rejects what is correct.
    runs : int
        Runs of a mechanism at most: 100 times those of the marker in a nightly session.
    seed : int
        For the test's own generators; every test has another one.
    record : dict
        What the summary needs: alpha, and one entry per audit.
    """

    def __init__(self, node: str, *, seed: int, nightly: bool, alpha: float = 1e-6, runs: int = 100_000) -> None:
        self.alpha, self.runs = alpha, runs * (_NIGHTLY if nightly else 1)
        self._node, self._session_seed = node, seed
        self.seed = self._derive(0)
        self.record: Entry = {"alpha": alpha, "entries": []}

    def _derive(self, call: int) -> int:
        text = f"{self._session_seed} {self._node} {call}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def __call__(self, target: Any, *args: Any, **options: Any) -> Verdict:
        """Call `dpstruct.audit.assert_private` with this test's alpha, runs and seed, and enter the result."""
        __tracebackhide__ = True
        entries: list[Entry] = self.record["entries"]
        seed = self._derive(len(entries) + 1)
        options = {"alpha": self.alpha, "max_runs": self.runs, "seed": seed} | options
        entry: Entry = {"alpha": options["alpha"], "failed": True, "words": "not finished"}
        entries.append(entry)
        try:
            verdict = assert_private(target, *args, **options)
        except PrivacyViolation as failure:
            entry["words"] = str(failure).splitlines()[0]
            raise
        entry["failed"] = False
        entry["words"] = (
            f"{claim_words(verdict.claim)} not refuted in {verdict.runs:,} runs, "
            f"no violation above {verdict._open_words()} on the last event"
        )
        return verdict


def summary(tests: Mapping[str, tuple[str, Entry]], *, runs: str, seed: int) -> list[str]:
    """Return the lines that close a session.

    Parameters
    ----------
    tests : mapping of str to (str, dict)
        Outcome and `PrivacyTest.record` of every test that asked for the fixture.
    runs, seed : str, int
        The options of the session.
    """
    entries = [(node, entry) for node, (outcome, record) in tests.items() for entry in _audits(outcome, record)]
    lines = [f"{node}: {entry['words']}" for node, entry in entries]
    total = sum(entry["alpha"] for _, entry in entries)
    failed = sorted({node for node, entry in entries if entry["failed"]})
    lines.append(
        f"{len(entries)} statistical test{'s' * (len(entries) != 1)}, {len(failed)} failed; "
        f"chance that one of them rejects what is correct: at most {total:.6g} (union bound); {runs}, seed {seed}"
    )
    which = "".join(f" {shlex.quote(node)}" for node in failed)
    lines.append(f"again: pytest --privacy-runs={runs} --privacy-seed={seed}{which}")
    return lines


def _audits(outcome: str, record: Entry) -> list[Entry]:
    """Return the audits of one test; one that did its own statistics with the fixture's alpha counts as one."""
    own: Entry = {
        "alpha": record["alpha"],
        "failed": outcome == "failed",
        "words": f"{outcome}, without an audit",
    }
    return record["entries"] or [own]
