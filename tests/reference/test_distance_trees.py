"""The published distance trees: walks against oracles, sensitivities against neighbours, errors against constants."""

import numpy as np
import pytest
from oracle import reference_tree as oracle

from dpstruct.errors import DPStructError, InvalidParameter
from dpstruct.reference import BackursTree, RefinedTree

LOW, HIGH = np.array([-1.0, 2.0, 0.0]), np.array([1.0, 10.0, 0.5])
SPLITS = [{"epsilon": 0.7}, {"mu": 0.3}]
RELATIONS = ["add-remove", "substitute"]
TREES = [
    (BackursTree, {"alpha": 0.5}),
    (BackursTree, {"alpha": 0.1}),
    (RefinedTree, {"origin": "low"}),
    (RefinedTree, {"origin": "center"}),
]
every_tree = pytest.mark.parametrize(("kind", "options"), TREES)
every_noise = pytest.mark.parametrize("cost", SPLITS)
every_relation = pytest.mark.parametrize("neighbors", RELATIONS)


class Silent:
    """A generator whose noise is zero."""

    def normal(self, loc, scale, size):
        return np.zeros(size)

    laplace = normal


def records(n, seed=5):
    """Records in and outside of the box, some on cell borders and some at the ends."""
    rng = np.random.default_rng(seed)
    X = LOW + (HIGH - LOW) * rng.uniform(-0.1, 1.1, (n, 3))
    X[: n // 3] = LOW + (HIGH - LOW) * rng.integers(0, 17, (n // 3, 3)) / 16
    return X


def queries():
    grid = np.linspace(0, 1, 33)[:, None]
    return np.concatenate([LOW + (HIGH - LOW) * grid, records(40, seed=6).clip(LOW, HIGH)])


def tree(kind, options, *, cost=None, neighbors="add-remove", depth=4, bounds=(LOW, HIGH)):
    return kind(bounds, depth=depth, neighbors=neighbors, **options, **(cost or {"epsilon": 1.0}))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 3.0])
def test_backurs_walk_reads_the_covers_of_the_rings(alpha):
    fitted = tree(BackursTree, {"alpha": alpha}).fit(records(50), np.random.default_rng(1))
    for y, answer in zip(queries(), fitted.query(queries())):
        parts = [oracle.backurs_answer(y[j], LOW[j], HIGH[j], fitted._tables[j], alpha) for j in range(3)]
        assert answer == pytest.approx(sum(parts), rel=1e-11)


@pytest.mark.parametrize("origin", ["low", "center"])
def test_refined_walk_reads_the_siblings(origin):
    blueprint, heaps = tree(RefinedTree, {"origin": origin}), np.random.default_rng(2).normal(size=(2, 3, 32))
    blueprint._tables = blueprint._lines(*heaps)
    for y, answer in zip(queries(), blueprint.query(queries())):
        parts = [oracle.refined_answer(y[j], LOW[j], HIGH[j], *heaps[:, j]) for j in range(3)]
        assert answer == pytest.approx(sum(parts), abs=1e-4)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_backurs_without_noise_is_within_its_ratio(alpha):
    X = records(200)
    answers = tree(BackursTree, {"alpha": alpha}).fit(X, Silent()).query(queries())
    inside = X.clip(LOW, HIGH)
    for y, answer in zip(queries(), answers):
        exact = sum(oracle.gridded_distances(inside[:, j], y[j], LOW[j], HIGH[j], 16) for j in range(3))
        assert exact * (1 - 1e-12) <= answer <= exact * (1 + alpha) * (1 + 1e-12)
        assert answer > exact * (1 + alpha / 20), "outer radii overshoot, as published"


@pytest.mark.parametrize("origin", ["low", "center"])
def test_refined_without_noise_is_exact_but_for_the_leaf(origin):
    X = records(200)
    answers = tree(RefinedTree, {"origin": origin}).fit(X, Silent()).query(queries())
    inside = X.clip(LOW, HIGH)
    for y, answer in zip(queries(), answers):
        exact = sum(oracle.distances_outside_leaf(inside[:, j], y[j], LOW[j], HIGH[j], 16) for j in range(3))
        assert answer == pytest.approx(exact, rel=1e-5)


def heaps_of(blueprint, X):
    """Exact heaps that the tree noises, each with the scale of its noise, shape (d, 1)."""
    columns = blueprint._columns(X)
    if isinstance(blueprint, BackursTree):
        return [(blueprint._heaps(columns), blueprint._scale(1.0)[:, None])]
    counts, sums = blueprint._statistics(columns)
    reach = (HIGH - LOW) * (1.0 if blueprint.origin == "low" else 0.5)
    scale = blueprint._scale(0.5)[:, None]
    return [(counts, scale), (sums, scale * reach[:, None])]


def price(blueprint, X, X2):
    """Exact cost of the neighbours: epsilon of Laplace noise, or mu of Gaussian noise."""
    change = [(h - h2) / s for (h, s), (h2, _) in zip(heaps_of(blueprint, X), heaps_of(blueprint, X2))]
    order = 1 if blueprint.mu is None else 2
    return sum((np.abs(c) ** order).sum() for c in change) ** (1 / order)


@every_tree
@every_noise
@every_relation
def test_neighbours_cost_what_the_claim_says(kind, options, cost, neighbors):
    blueprint = tree(kind, options, cost=cost, neighbors=neighbors)
    corners = np.array([LOW, HIGH, (LOW + HIGH) / 2])
    extra = np.concatenate([corners, records(25), [[np.nan, np.inf, -np.inf]]])
    X = records(10)
    budget = next(iter(cost.values()))
    if neighbors == "add-remove":
        costs = [price(blueprint, X, np.concatenate([X, [row]])) for row in extra]
    else:
        costs = [price(blueprint, np.concatenate([X, [a]]), np.concatenate([X, [b]])) for a in extra for b in extra]
    assert max(costs) <= budget * (1 + 1e-9)
    assert max(costs) >= budget * (1 if neighbors == "add-remove" else 0.6) * (1 - 1e-9), "noise larger than its claim"


@every_tree
@every_noise
def test_noise_has_the_scale_and_the_error_of_the_formula(kind, options, cost):
    # 40 answers (8 cases of 5), 4,000 draws each. A sample variance over its expectation has a standard deviation of
    # sqrt((kurtosis - 1) / draws), here at most 0.0274: an answer sums nine or more terms, kurtosis below 4. The limit
    # 0.16 is 5.8 of these, and 6 for the mean: together a false alarm below 4e-7.
    blueprint, rng = tree(kind, options, cost=cost, depth=3), np.random.default_rng(11)
    Y, X = queries()[[0, 7, 16, 25, 32]], np.zeros((0, 3))
    draws = np.array([blueprint.fit(X, rng).query(Y) for _ in range(4000)])
    ratio = (draws**2).mean(axis=0) / blueprint.error(Y) ** 2
    assert np.abs(ratio - 1).max() < 0.16
    assert np.abs(draws.mean(axis=0) / blueprint.error(Y)).max() < 6 / np.sqrt(4000)


PUBLISHED = [  # rms and largest error over the cells of one coordinate, 1,024 cells, in units of R/mu and R/epsilon
    (BackursTree, {"alpha": 0.5}, (10.0, 12.0), (46.9, 56.3)),
    (BackursTree, {"alpha": 0.1}, (15.1, 19.2), (70.85, 89.8)),
    (RefinedTree, {"origin": "low"}, (17.1, 21.0), (113.6, 139.1)),
    (RefinedTree, {"origin": "center"}, (8.56, 10.5), (56.8, 69.6)),
]


@pytest.mark.parametrize(("kind", "options", "gaussian", "laplace"), PUBLISHED)
@pytest.mark.parametrize("d", [1, 4])
def test_error_constants(kind, options, gaussian, laplace, d):
    bounds = (np.full(d, 3.0), np.full(d, 5.0))
    Y = np.tile(np.linspace(3.0, 5.0, 1024, endpoint=False)[:, None] + 1.0 / 1024, (1, d))
    for cost, constants, growth in (({"mu": 0.2}, gaussian, d), ({"epsilon": 0.2}, laplace, d**1.5)):
        error = tree(kind, options, cost=cost, depth=10, bounds=bounds).error(Y) * 0.2 / 2.0 / growth
        assert np.sqrt((error**2).mean()) == pytest.approx(constants[0], rel=5e-3)
        assert error.max() == pytest.approx(constants[1], rel=5e-3)


@every_tree
def test_unequal_ranges_share_the_budget_best(kind, options):
    for cost in SPLITS:
        blueprint = tree(kind, options, cost=cost)
        shares = (HIGH - LOW) ** (2 / 3) if "epsilon" in cost else np.sqrt(HIGH - LOW)
        assert blueprint._scale(1.0) * shares == pytest.approx(np.full(3, (blueprint._scale(1.0) * shares)[0]))


@every_tree
def test_a_row_is_answered_by_itself(kind, options):
    fitted = tree(kind, options).fit(records(30), np.random.default_rng(3))
    Y = np.tile(queries(), (701, 1))  # several tasks and blocks, and a tail that is not a multiple of four
    answers = fitted.query(Y)
    assert np.array_equal(answers[: len(queries())], fitted.query(queries()))
    assert np.array_equal(answers, np.tile(answers[: len(queries())], 701))
    assert np.array_equal(fitted.query(queries()[:3]), answers[:3])


@every_tree
def test_odd_values_never_raise(kind, options):
    blueprint, middle = tree(kind, options), (LOW + HIGH) / 2
    odd = np.array([[np.nan, np.inf, -np.inf], [1e300, -1e300, 0.1]])
    plain = np.array([middle, [HIGH[0], LOW[1], 0.1]])
    assert np.array_equal(blueprint._columns(odd), blueprint._columns(plain))
    fitted = blueprint.fit(odd, np.random.default_rng(0))
    answers = fitted.query([[np.nan, 3.0, 0.1], [-np.inf, np.inf, 7.0], [LOW[0], HIGH[1], HIGH[2]]])
    assert np.isnan(answers[0])
    assert answers[1] == answers[2]
    assert fitted.query(np.zeros((0, 3))).shape == (0,)


@every_tree
@every_noise
def test_label_promises_nothing(kind, options, cost):
    label = tree(kind, options, cost=cost, neighbors="substitute").label
    assert label.guarantee is None
    assert "NumPy generator" in label.reason
    assert label.modelled
    assert ("0.7-DP" if "epsilon" in cost else "0.3-GDP") in label.claim
    for words in ("substitute", "bounds and depth are public"):
        assert words in label.claim
    assert label.source in str(label)
    assert "guarantee: None" in str(label)


@every_tree
@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"depth": 0}, "depth"),
        ({"depth": 2.5}, "depth"),
        ({"neighbors": "rows"}, "neighbors"),
        ({"epsilon": None}, "epsilon, mu"),
        ({"mu": 1.0}, "epsilon, mu"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"bounds": ([0.0], [0.0])}, "low"),
        ({"bounds": ([0.0, 1.0], [2.0])}, "bounds"),
    ],
)
def test_wrong_parameters(kind, options, change, argument):
    given = {"bounds": ([0.0], [1.0]), "depth": 3, "neighbors": "add-remove", "epsilon": 1.0} | change
    with pytest.raises(InvalidParameter, match=argument):
        kind(given.pop("bounds"), **given, **options)


def test_wrong_options_and_shapes():
    with pytest.raises(InvalidParameter, match="alpha"):
        tree(BackursTree, {"alpha": 1e-300})
    with pytest.raises(InvalidParameter, match="origin"):
        tree(RefinedTree, {"origin": "high"})
    with pytest.raises(InvalidParameter, match="fit first"):
        tree(RefinedTree, {}).query(queries())
    for method in ("fit", "query", "error"):
        call = getattr(tree(BackursTree, {}).fit(records(3), Silent()), method)
        with pytest.raises(DPStructError, match="3"):
            call(np.zeros((2, 2)), *([Silent()] if method == "fit" else []))


def test_the_walk_reads_its_table_in_order():
    """A table in another memory order walks a third slower: a crippled rival in every benchmark."""
    for tree in (RefinedTree, BackursTree):
        fitted = tree(
            ([0.0] * 3, [1.0] * 3),
            depth=4,
            epsilon=1.0,
            neighbors="add-remove",
            **({"alpha": 0.5} if tree is BackursTree else {}),
        ).fit(np.zeros((5, 3)), np.random.default_rng(0))
        tables = fitted._tables if isinstance(fitted._tables, tuple) else (fitted._tables,)
        assert all(table.flags.c_contiguous for table in tables)
