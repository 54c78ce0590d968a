"""The sampler's scores against log-likelihoods written out, and the data that it refuses."""

import numpy as np
import pytest
from oracle.toy import Location, Mean

import dpstruct as dps
from dpstruct.audit.sampler import _FullRuns, _OneRound, sampler
from dpstruct.core import door
from dpstruct.errors import InvalidParameter, InvalidType, NeighborsMismatch
from dpstruct.privacy.laws import pmf
from dpstruct.testing import statistics
from dpstruct.testing.pairs import as_pair
from dpstruct.testing.sources import SeededNoise, _Source

BALL = dps.Ball(2.0, dim=2)
COSTS = {
    "gaussian": {"epsilon": 1.0, "delta": 1e-6},
    "laplace": {"epsilon": 1.0},
    "narrow": {"cost": dps.GDP(3.0)},
    "narrow laplace": {"cost": dps.PureDP(3.0)},
}
TREE = dps.KDETree(bounds=dps.Box([0, -2], [1, 3]), depth=3)
COARSE = dps.KDETree(bounds=dps.Box(0, 4, dim=1), depth=2, max_rows=1 << 60)
X = np.array([[0.2, 0.1], [0.9, 2.5]])
STRUCTURES = {
    "tree": (TREE, (X, X[:1]), "add-remove"),
    "tree, substitute": (TREE, (X, np.array([[0.2, 0.1], [0.1, -1.5]])), "substitute"),
    "coarse": (COARSE, (np.array([[1.0], [4.0]]), np.array([[1.0]])), "add-remove"),
    "mean": (Mean(BALL, bits=1), (X[:1], X[:0]), "add-remove"),
    "steps": (Location(BALL, bits=4), (X[:1], X[:0]), "add-remove"),
}


def case(structure, cost):
    made, pair, neighbors = STRUCTURES[structure]
    return made.plan(neighbors=neighbors, **COSTS[cost]), pair


def log_ratio(plan, pair, transcript):
    """Log-likelihood ratio of a transcript, from the laws and over all entries."""
    total = 0.0
    first, second = (statistics(plan, data, transcript=transcript) for data in pair)
    for name, (kind, line) in plan.lines.items():
        scales = np.broadcast_to(np.reshape(line.scales, (-1, *(1,) * (len(line.shape) - 1))), line.shape or (1,))
        for sign, exact in ((1, first), (-1, second)):
            noise = np.reshape(transcript[name] - exact[name], scales.shape)
            total += sign * np.log(pmf(kind, scales, noise)).sum()
    return total


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_scores_are_log_likelihood_ratios_up_to_a_factor(structure, cost):
    plan, pair = case(structure, cost)
    runs = _FullRuns(plan, as_pair(pair))
    scores, ratios = [], []
    for seed in range(12):
        with SeededNoise(seed):
            transcript = door.run(plan, plan.structure.summarize(pair[seed % 2])._open())
        scores.append(runs._score(transcript))
        ratios.append(log_ratio(plan, pair, transcript))
    # a rounded Gaussian of sigma >= 8 is a Gaussian but for less than 0.0063
    np.testing.assert_allclose(scores, ratios, rtol=1e-6, atol=1e-2 if cost == "gaussian" else 1e-6)
    assert np.ptp(ratios) > 0.1


class Flat(_Source):
    """Noise with one value for all entries of a line, whatever its shape."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def draw(self, line, kind, scales, shape):
        return np.full(shape, int(self.values[line]))


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("structure", [name for name in STRUCTURES if name != "steps"])
def test_blocks_of_noise_score_like_full_runs(structure, cost):
    plan, pair = case(structure, cost)
    pair = as_pair(pair)
    blocks, runs = _OneRound(plan, pair), _FullRuns(plan, pair)
    noise, found = np.random.default_rng(5), []
    for side in (0, 1):
        for _ in range(8):
            with Flat({name: noise.integers(-3, 4) * max(1, *line.scales) for name, (_, line) in plan.lines.items()}):
                found.append((blocks.scores(side, 1)[0], runs.scores(side, 1)[0]))
    ours, theirs = np.array(found).T
    factor = np.abs(theirs).max() / np.abs(ours).max()
    np.testing.assert_allclose(ours * factor, theirs, rtol=1e-6, atol=1e-6 * np.abs(theirs).max())
    assert factor > 0
    assert np.ptp(ours) > 0


def test_every_entry_and_every_run_gets_its_own_noise(fixed_words):
    plan, pair = case("tree", "gaussian")
    scores = sampler(plan, *pair)(pair[0], 3000)
    assert len(np.unique(scores)) == 3000
    # under x the ratio of a mu-GDP pair is N(mu^2 / 2, mu^2); 3,000 runs: six standard errors
    price = (scores.mean() * 2) / scores.std() ** 2
    assert abs(price - 1 / (scores.std() ** 2 / (2 * scores.mean()))) < 1e-9
    shift = scores.mean() / scores.std()
    assert abs(2 * shift - plan.cost.mu) < 6 * 2 / np.sqrt(3000)


@pytest.mark.parametrize("structure", ["tree", "steps"])
def test_the_noise_is_the_one_that_is_scored(structure, fixed_words):
    """A likelihood ratio has mean 1 under its denominator: here within six standard errors."""
    made, pair, neighbors = STRUCTURES[structure]
    plan = made.plan(cost=dps.PureDP(3.0), neighbors=neighbors)
    mechanism, n = sampler(plan, *pair), 1500 if structure == "steps" else 100_000
    for sign, data in ((-1, pair[0]), (1, pair[1])):
        ratios = np.exp(sign * mechanism(data, n))
        assert abs(ratios.mean() - 1) < 6 * ratios.std() / np.sqrt(n)


def test_integers_where_the_scales_agree():
    for cost in ("gaussian", "laplace"):
        plan, pair = case("mean", cost)
        assert sampler(plan, *pair)(pair[1], 5).dtype == np.int64
    plan, pair = case("tree", "laplace")  # level 0 has another scale than the ends
    assert sampler(plan, *pair)(pair[1], 5).dtype == np.float64


def test_equal_datasets_score_nothing():
    plan, pair = case("tree", "gaussian")
    assert sampler(plan, pair[0], pair[0].copy())(pair[0], 4).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("structure", ["tree", "steps"])
def test_no_runs(structure):
    plan, pair = case(structure, "gaussian")
    assert sampler(plan, *pair)(pair[0], 0).shape == (0,)


def test_rounds_are_scored_under_one_history(fixed_words):
    """With each dataset's own history the second step would look as if it told the two apart."""
    plan, pair = case("steps", "narrow")
    scores = sampler(plan, *pair)(pair[0], 400)
    # the mean of a log ratio is at most mu^2 / 2 for a mu-GDP plan; six standard errors
    assert scores.mean() <= plan.cost.mu**2 / 2 + 6 * scores.std() / 20


def test_data_are_known_by_value():
    plan, (x, x2) = case("tree", "gaussian")
    mechanism = sampler(plan, x.tolist(), x2)
    assert len(mechanism(x.copy(), 3)) == len(mechanism((x2.copy(),), 3)) == 3
    with pytest.raises(InvalidParameter, match="one of the two"):
        mechanism(x + 1e-9, 3)


def test_refusals():
    plan, (x, x2) = case("tree", "gaussian")
    with pytest.raises(NeighborsMismatch):
        sampler(plan, x, x + 1)
    summary = plan.structure.summarize(x)
    with pytest.raises(InvalidType, match="never sees private data"):
        sampler(plan, summary, x2)
    release = dps.Budget(1.0, 1e-6, neighbors="add-remove").release(summary, share=1)
    with pytest.raises(InvalidType, match="never sees private data"):
        sampler(plan, x, release)
