"""Outputs of any kind become forms and numbers, each by itself, and bins that the past has fixed."""

import math

import numpy as np
import pytest

from dpstruct.audit.partition import fit_partition, size_of
from dpstruct.audit.symbols import Raised, name, read
from dpstruct.audit.wording import spell_event

ODD = [
    *(1, 2.5, None, "a", b"a", True, math.nan, math.inf, -math.inf, (1, 2.0), (1, 2), [1, 2], {"k": 1}, {"k": 2}, 1j),
    *(Raised(KeyError()), Raised(ValueError()), np.float64(3), np.zeros(2), np.zeros((1, 2)), 10**400, object(), {1}),
]


def test_every_form_is_told_apart():
    sample = read(ODD)
    assert size_of(sample) == len(ODD)
    shared = {
        "k": 2,
        math.inf: 2,
    }  # {"k": 1} and {"k": 2} differ in a number; an integer beyond the doubles is infinite
    assert len(sample) == len(ODD) - sum(n - 1 for n in shared.values())
    assert all(name(form) for form in sample)


def test_each_output_is_read_by_itself():
    whole = read(ODD)
    for output in ODD:
        ((form, values),) = read([output]).items()
        assert form in whole
        assert values[0].tolist() in whole[form].tolist()


def test_arrays_and_lists_of_them_agree_on_the_numbers():
    numbers = np.array([1.5, math.nan, -2.0, math.inf, -math.inf, 1.5])
    sample = read(numbers)
    assert sample[("number",)].tolist() == [1.5, -2.0, 1.5]
    assert {form: len(v) for form, v in sample.items() if form != ("number",)} == {
        ("nan",): 1,
        ("inf",): 1,
        ("-inf",): 1,
    }


def test_a_dtype_may_depend_on_the_batch_and_its_form_may_not():
    forms = {form for batch in ([1, 2], [1.0, 2.0], [True, False]) for form in read(np.array(batch))}
    assert forms == {("number",)}
    assert set(read([np.int64(1)])) != set(read([np.float64(1)]))


def test_rows_with_holes():
    rows = np.array([[1.0, 2.0], [math.nan, 2.0], [3.0, math.nan], [5.0, 6.0], [math.inf, 2.0], [math.nan, 7.0]])
    sample = read(rows)
    assert size_of(sample) == 6
    assert len(sample) == 4
    assert sorted(len(v) for v in sample.values()) == [1, 1, 2, 2]
    assert any(v.tolist() == [2.0, 7.0] for v in sample.values())


def test_texts_of_one_length_are_rows():
    texts = ["TTF", "FFF", "TF", "T", "x" * 40, "TTF"]
    sample = read(texts)
    assert sample[("str", 3)].tolist() == [[84, 84, 70], [70, 70, 70], [84, 84, 70]]
    assert {("str", 2), ("str", "T"), ("str", "x" * 40)} < set(sample)
    array = read(np.array(["TTF", "FFF", "TF"]))
    assert {form: rows.tolist() for form, rows in array.items()} == {
        ("str", 3): sample[("str", 3)][:2].tolist(),
        ("str", 2): sample[("str", 2)].tolist(),
    }
    assert read(np.array(texts)).keys() == sample.keys()
    assert read([(True, "F", False)]).popitem()[1].tolist() == [[1.0, 70.0, 0.0]]


def test_many_texts_are_learned_together():
    random = np.random.default_rng(9)
    draw = lambda p: np.array(["".join(row) for row in np.where(random.random((3000, 12)) < p, "T", "F")])  # noqa: E731
    partition, past = fit_partition(read(draw(0.5)), read(draw(0.6)), bins=24)
    (column,) = partition.columns.values()
    assert column.projection.learned
    top = np.cumsum(past[0][::-1] - past[1][::-1])
    assert np.abs(top).max() > 240  # of 1,000 each; the laws are 0.28 apart


def test_shapes_are_forms():
    assert set(read(np.zeros((2, 3)))) != set(read(np.zeros((2, 4))))
    assert set(read(np.zeros((2, 2, 3)))) != set(read(np.zeros((2, 6))))
    assert read(np.zeros((2, 1)))[("array", (1,))].shape == (2,)
    assert read(np.zeros((2, 2, 3)))[("array", (2, 3))].shape == (2, 6)
    assert [v.shape for v in read(np.zeros(2, dtype=complex)).values()] == [(2, 2)]
    assert read(np.array(["a", "b"])).keys() == read(["a", "b"]).keys() or len(read(np.array(["a", "b"]))) == 2


def batch(seed, n=400, shift=0.0):
    return read(np.random.default_rng(seed).laplace(size=n) + shift)


def test_bins_cover_everything_once():
    x, x2 = batch(1), batch(2, shift=1)
    partition, past = fit_partition(x, x2, bins=24)
    assert partition.size == past.shape[1] == 25
    assert past.sum(axis=1).tolist() == [400, 400]
    assert past[0].tolist() == partition.count(x).tolist()
    new = {("number",): np.array([-1e300, 0.0, 1e300]), ("nan",): np.empty((2, 0)), ("str", "?"): np.empty((1, 0))}
    counts = partition.count(new)
    assert counts.sum() == 6
    assert counts[0] == 3  # forms never seen


def test_point_masses_have_bins_of_their_own():
    random = np.random.default_rng(3)
    values = np.where(random.random(2000) < 0.02, 0.25, random.normal(size=2000))
    partition, _ = fit_partition(read(values), read(random.normal(size=2000)), bins=24)
    around = np.array([np.nextafter(0.25, -1), 0.25, np.nextafter(0.25, 1)])
    (column,) = partition.columns.values()
    low, at, high = column.place(around)
    assert low < at < high
    bins = np.zeros(partition.size, dtype=bool)
    bins[1 + at] = True
    assert spell_event(partition, bins, scored=False) == "output = 0.25"


def test_rare_values_far_out_have_bins_of_their_own():
    random = np.random.default_rng(8)
    secret = lambda bit: np.append(random.geometric(0.4, 20_000) - random.geometric(0.4, 20_000), [1000 + bit] * 9)  # noqa: E731
    partition, past = fit_partition(read(secret(0)), read(secret(1)), bins=50)
    (column,) = partition.columns.values()
    assert past[:, 1 + column.place(np.array([1000, 1001]))].tolist() == [[9, 0], [0, 9]]


def test_integers_by_table_fall_where_a_search_puts_them():
    random = np.random.default_rng(4)
    values = random.geometric(0.05, 3000) - random.geometric(0.05, 3000)
    partition, _ = fit_partition(read(values), read(values + 1), bins=24)
    (column,) = partition.columns.values()
    assert len(column.table)
    for wide in (np.arange(-500, 500), np.array([-(2**62), 2**62]), np.arange(0, 200, dtype=np.uint8)):
        assert column.place(wide).tolist() == np.searchsorted(column.edges, wide.astype(float)).tolist()


def test_a_score_is_judged_on_other_rows():
    random = np.random.default_rng(5)
    x, x2 = read(random.normal(size=(1500, 3))), read(random.normal(size=(1500, 3)))
    partition, past = fit_partition(x, x2, bins=24)
    assert past.sum() == 1000  # the last third of both
    fresh = np.stack([partition.count(read(random.normal(size=(3000, 3)))) for _ in range(2)])
    assert fresh.sum() == 6000


def test_common_vectors_have_bins_of_their_own():
    random = np.random.default_rng(6)
    x, x2 = random.integers(0, 2, (600, 3)), random.integers(0, 2, (600, 3))
    partition, past = fit_partition(read(x), read(x2), bins=24)
    (column,) = partition.columns.values()
    assert len(column.projection.heavy) == 8
    assert (past[:, 1 + len(column.edges) + 1 :] > 0).all()
    bins = np.zeros(partition.size, dtype=bool)
    bins[-1] = True
    assert "output = (" in spell_event(partition, bins, scored=False)


def test_words():
    partition, _ = fit_partition(batch(1) | {("nan",): np.empty((5, 0))}, batch(2), bins=4)
    edges = next(iter(partition.columns.values())).edges
    bins = np.zeros(partition.size, dtype=bool)
    bins[1] = bins[4] = bins[5] = True
    words = spell_event(partition, bins, scored=False)
    assert words == f"output <= {edges[0]:.6g} (a number) or output > {edges[2]:.6g} (a number) or output is NaN"
    assert spell_event(partition, np.ones(partition.size, dtype=bool), scored=False) == "any output"
    alone, _ = fit_partition(batch(1), batch(2), bins=4)
    bins = np.arange(alone.size) == 2
    assert spell_event(alone, bins, scored=True).count("score") == 1
    bins = np.arange(alone.size) == 0
    assert spell_event(alone, bins, scored=True) == "an output of a rare form"


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_outputs(count):
    sample = batch(7, n=count) if count else {}
    partition, past = fit_partition(sample, {}, bins=24)
    assert past.shape == (2, partition.size)
    assert past.sum() == count
