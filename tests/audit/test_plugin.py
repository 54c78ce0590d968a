"""The pytest plugin, each time in a pytest of its own."""

import re

import pytest

pytest_plugins = ["pytester"]

# Five lines of a user: a mechanism whose noise comes from the test's seed, and its claim.
BROKEN = """
    import numpy as np
    import dpstruct as dps

    def test_count(privacy):
        random = np.random.default_rng(privacy.seed)
        count = lambda data, n: len(data) + random.geometric(0.5, n) - random.geometric(0.5, n)
        privacy(count, [0], [0, 0], dps.PureDP(0.2))
"""
CORRECT = BROKEN.replace("0.2", "0.7").replace("def", "@pytest.mark.privacy(runs=2000)\n    def", 1)
CORRECT = CORRECT.replace("import numpy", "import pytest\n    import numpy")


@pytest.fixture
def run(pytester):
    def run(*options, **files):
        pytester.makepyfile(**files)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)

    return run


def closing(result):
    """Return the lines of the plugin's section."""
    lines = result.outlines
    (start,) = [i for i, line in enumerate(lines) if re.fullmatch(r"=+ privacy =+", line)]
    stop = next(i for i in range(start + 1, len(lines)) if lines[i].startswith("==="))
    return [line for line in lines[start + 1 : stop] if line]


def test_a_broken_mechanism_is_named_with_a_line_that_repeats_it(run):
    result = run(test_it=BROKEN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*PrivacyViolation: <lambda> does not keep PureDP(0.2)*"])
    words, total, again = closing(result)
    assert words.startswith("test_it.py::test_count: <lambda> does not keep")
    assert total.startswith(
        "1 statistical test, 1 failed; chance that one of them rejects what is correct: at most 1e-06"
    )
    assert "seed 20240601" in total
    assert again == "again: pytest --privacy-runs=quick --privacy-seed=20240601 test_it.py::test_count"


def test_the_same_seed_shows_the_same_and_another_does_not(run):
    first, again = (run(test_it=BROKEN) for _ in range(2))
    other = run("--privacy-seed=7", test_it=BROKEN)
    runs = [re.search(r"[\d,]+ runs.*", "\n".join(result.outlines)).group() for result in (first, again, other)]
    evidence = ["\n".join(re.findall(r"^E .*", "\n".join(result.outlines), re.M)) for result in (first, again, other)]
    assert runs[0] == runs[1]
    assert evidence[0] == evidence[1] != evidence[2]
    assert "seed 7" in closing(other)[-2]


def test_a_pass_states_its_bound_and_alphas_add_up(run):
    result = run(test_it=CORRECT, test_other=CORRECT.replace("runs=2000", "alpha=1e-3, runs=3000"))
    result.assert_outcomes(passed=2)
    first, other, total, again = closing(result)
    assert first.startswith("test_it.py::test_count: ")
    assert "in 2,000 runs, no violation above epsilon = " in first
    assert "in 3,000 runs, no violation above epsilon = " in other
    assert "2 statistical tests, 0 failed" in total
    assert "at most 0.001001 (" in total
    assert again == "again: pytest --privacy-runs=quick --privacy-seed=20240601"


def test_nightly_is_a_hundred_times_the_runs_and_a_fresh_seed(run):
    code = """
        import pytest

        @pytest.mark.privacy(runs=50)
        def test_numbers(privacy):
            print(privacy.runs, privacy.alpha, privacy.seed)
    """
    night = run("--privacy-runs=nightly", "-rP", test_it=code)
    seed = re.search(r"nightly, seed (\d+)$", closing(night)[-2]).group(1)
    assert seed != "20240601"
    again = run("--privacy-runs=nightly", f"--privacy-seed={seed}", "-rP", test_it=code)
    printed = [re.search(r"^5000 1e-06 \d+$", "\n".join(result.outlines), re.M).group() for result in (night, again)]
    assert printed[0] == printed[1]


def test_tests_have_seeds_of_their_own_and_their_own_statistics_count(run):
    code = """
        import pytest

        @pytest.mark.parametrize("k", [0, 1])
        @pytest.mark.privacy(alpha=1e-4)
        def test_own(privacy, k):
            assert privacy.alpha == 1e-4
            print("seed", privacy.seed)
    """
    result = run("-rP", test_it=code)
    seeds = re.findall(r"^seed (\d+)$", "\n".join(result.outlines), re.M)
    assert len(set(seeds)) == 2
    first, _, total, _ = closing(result)
    assert first == "test_it.py::test_own[0]: passed, without an audit"
    assert "2 statistical tests, 0 failed" in total
    assert "at most 0.0002 " in total


def test_the_marker_selects(run):
    result = run("-m", "privacy", "--strict-markers", test_it=CORRECT, test_other="def test_nothing(): pass")
    result.assert_outcomes(passed=1, deselected=1)


ORDINARY = """
    import sys

    def test_nothing():
        heavy = {"numpy", "numba", "scipy", "dpstruct", "hypothesis"} & set(sys.modules)
        assert not heavy
"""


def test_others_do_not_notice_the_plugin(run):
    result = run("-W", "error", test_it=ORDINARY)
    result.assert_outcomes(passed=1)
    assert "privacy" not in "\n".join(result.outlines)


def test_it_can_be_switched_off(run):
    run("-p", "no:dpstruct", test_it=ORDINARY).assert_outcomes(passed=1)
    result = run("-p", "no:dpstruct", test_it=BROKEN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'privacy' not found*"])
