"""The pytest plugin of dpstruct: the fixture and marker ``privacy``, its options, and a summary of statistical tests.

It stands beside the package, so that pytest loads neither dpstruct nor NumPy in projects that do not use them.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dpstruct.audit.plugin import PrivacyTest

PROPERTY = "privacy"
QUICK_SEED = 20240601


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--privacy-runs`` and ``--privacy-seed``."""
    group = parser.getgroup("dpstruct", "statistical tests of privacy (dpstruct)")
    runs = "quick: at most 100,000 runs a test and a fixed seed (default); nightly: 100 times that and a fresh seed"
    group.addoption("--privacy-runs", choices=("quick", "nightly"), default="quick", help=runs)
    group.addoption("--privacy-seed", type=int, default=None, metavar="N", help="seed, to repeat a run that printed it")


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker and choose the seed, once for all workers."""
    about = "privacy(alpha=1e-6, runs=100_000): a statistical test with this chance to reject what is correct"
    config.addinivalue_line("markers", about)
    if config.option.privacy_seed is None:
        nightly = config.option.privacy_runs == "nightly"
        config.option.privacy_seed = secrets.randbits(32) if nightly else QUICK_SEED


@pytest.fixture
def privacy(request: pytest.FixtureRequest) -> PrivacyTest:
    """Audit a privacy claim: ``privacy(plan)`` or ``privacy(mechanism, x, x2, claim)``; has alpha, runs and seed."""
    from dpstruct.audit.plugin import PrivacyTest

    node, option = request.node, request.config.option
    marker = node.get_closest_marker("privacy")
    test = PrivacyTest(
        node.nodeid,
        seed=option.privacy_seed,
        nightly=option.privacy_runs == "nightly",
        **(marker.kwargs if marker else {}),
    )
    node.user_properties.append((PROPERTY, test.record))
    return test


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many statistical tests ran, what they showed, and how often such a session fails by chance."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    called = [report for report in reports if getattr(report, "when", None) == "call"]
    tests = {r.nodeid: (r.outcome, value) for r in called for name, value in r.user_properties if name == PROPERTY}
    if not tests:
        return
    from dpstruct.audit.plugin import summary

    terminalreporter.section("privacy")
    for line in summary(tests, runs=config.option.privacy_runs, seed=config.option.privacy_seed):
        terminalreporter.line(line)
