"""Nothing un-noised can be read."""

import copy
import operator
import pickle

import numpy as np
import pytest
from oracle.toy import Location
from safetensors.numpy import save

import dpstruct as dps
from dpstruct.core.files import split
from dpstruct.core.state import Rows, Sealed
from dpstruct.core.summary import Summary

TREE = dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=3)
SECRET = 0.123456789
SUMMARY = TREE.summarize(np.full((777, 2), SECRET))


@pytest.mark.parametrize(
    "read",
    [
        len,
        iter,
        list,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        np.asarray,
        np.sum,
        float,
        vars,
        lambda s: s[0],
        lambda s: s == s,
        lambda s: s != s,
        lambda s: s < s,
        lambda s: s.query,
        lambda s: s.__dict__,
        lambda s: 1 in s,
        lambda s: sorted([s, s]),
        operator.index,
    ],
)
def test_a_summary_has_no_way_to_be_read(read):
    with pytest.raises((TypeError, AttributeError)):
        read(SUMMARY)
    with pytest.raises((TypeError, AttributeError)):
        read(Sealed({"a": np.zeros(2, np.int64)}))


def test_what_it_prints_does_not_depend_on_the_data():
    other = TREE.summarize(np.ones((5, 2)))
    for show in (repr, str, "{}".format, lambda s: sorted(dir(s))):
        assert show(SUMMARY) == show(other)
    assert "777" not in repr(SUMMARY)


def test_merging_is_exact_in_any_order_and_sum_works():
    parts = [TREE.summarize(np.random.default_rng(i).random((50, 2))) for i in range(3)]
    whole = TREE.summarize(np.concatenate([np.random.default_rng(i).random((50, 2)) for i in range(3)]))
    a, b, c = parts
    for merged in (a + b + c, c + (b + a), sum(parts), a + TREE.summarize(np.empty((0, 2))) + b + c):
        assert merged.to_unprotected_bytes() == whole.to_unprotected_bytes()


def test_summaries_of_different_blueprints_do_not_merge():
    with pytest.raises(dps.InvalidParameter, match="one blueprint"):
        SUMMARY + dps.KDETree(bounds=dps.Box(0, 2, dim=2), depth=3).summarize(np.ones((5, 2)))
    for other in (1, None, np.ones(3)):
        with pytest.raises(TypeError):
            SUMMARY + other


def test_a_shard_travels_as_unprotected_bytes():
    data = SUMMARY.to_unprotected_bytes()
    back = Summary.from_unprotected_bytes(TREE, data)
    assert back.to_unprotected_bytes() == data
    for bad in (b"", data[:-3], b"\xff" * 64, data.replace(b"units", b"unity")):
        with pytest.raises(dps.FileFormatError):
            Summary.from_unprotected_bytes(TREE, bad)
    with pytest.raises(dps.FileFormatError, match="not a summary of"):
        Summary.from_unprotected_bytes(dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=4), data)
    with pytest.raises(dps.InvalidType):
        Summary.from_unprotected_bytes(TREE, "text")


def test_only_exact_integers_can_be_sealed():
    for bad in (np.zeros(2), np.zeros(2, np.int32), [1, 2]):
        with pytest.raises(dps.PlanViolation, match="int64"):
            Sealed({"a": bad})


def test_sums_over_rows_wrap_without_a_word_and_ignore_blocks():
    rows = np.full((7, 1), 2**62, dtype=np.int64)

    def row_map(rows, public):
        return [np.asarray(rows.sum(dtype=np.int64)), rows.sum(axis=0) * public["k"]]

    def opened(state, block):
        sealed = state.sum(row_map, {"k": np.int64(3)}, lines=("a", "b"), block=block)
        return {name: array.tolist() for name, array in sealed._open().items()}

    one, split = Rows(7, rows), Rows(3, rows[:3])._merge(Rows(4, rows[3:]))
    wrapped = (7 * 2**62 + 2**63) % 2**64 - 2**63
    assert opened(one, 100)["a"] == wrapped
    assert opened(one, 100) == opened(one, 2) == opened(split, 1)
    with pytest.raises(dps.PlanViolation, match="2 sums"):
        one.sum(row_map, {"k": np.int64(3)}, lines=("a",))


def test_a_sum_whose_shape_depends_on_the_rows_is_stopped():
    def row_map(rows, public):
        return [rows[:, 0].copy()]

    with pytest.raises(dps.PlanViolation, match="shape"):
        Rows(3, np.ones((3, 1), np.int64)).sum(row_map, {}, lines=("a",), block=2)


def test_an_author_can_not_change_what_was_sealed():
    array = np.ones(2, np.int64)
    sealed = Sealed({"a": array})
    array[:] = 7
    assert sealed._open()["a"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        sealed.map(lambda sums: {"a": sums["a"].__iadd__(1)})


def count_up(rows, public, cache):
    cache += rows * public["step"]
    return [cache.sum(axis=0).astype(np.int64)]


def test_a_cache_stays_with_its_rows_and_its_release():
    rows = np.arange(7, dtype=np.int16)[:, None]
    for state in (Rows(7, rows), Rows(3, rows[:3])._merge(Rows(4, rows[3:]))):
        for _ in range(2):  # a second release starts from zeros again
            cache = state.cache(1)
            found = [
                state.sum(count_up, {"step": np.int64(step)}, lines=("a",), block=2, cache=cache)._open()["a"].tolist()
                for step in (1, 10)
            ]
            assert found == [[21], [231]]
    with pytest.raises(TypeError, match="un-noised"):
        np.asarray(cache)


class Narrow(Location):
    def seal(self, X, device="auto"):
        return Rows(len(X), super().seal(X)._open()[0].astype(np.int32))


def test_rows_keep_their_width_in_bits_and_travel_as_bytes():
    structure = Narrow(dps.Ball(1.0, dim=2))
    X = np.random.default_rng(0).normal(size=(5, 2))
    whole = structure.summarize(X)
    assert whole._open()._open()[0].dtype == np.int32
    moved = dps.Summary.from_unprotected_bytes(structure, whole.to_unprotected_bytes())
    assert np.array_equal(moved._open()._open()[0], whole._open()._open()[0])
    metadata, arrays = split(whole.to_unprotected_bytes(), ("I32",))
    wide = save({name: array.astype(np.int64) for name, array in arrays.items()}, metadata=metadata)
    with pytest.raises(dps.FileFormatError):
        dps.Summary.from_unprotected_bytes(structure, wide)
    with pytest.raises(dps.PlanViolation, match="int64"):
        Rows(1, np.ones((1, 1)))


def test_blueprints_are_pickled_with_all_their_fields():
    anchors = dps.AnchorAttention([[0.0, 1.0], [1.0, 0.0]], 2, value_norm=1.0)
    for again in (pickle.loads(pickle.dumps(anchors)), copy.copy(anchors), copy.deepcopy(anchors)):
        assert again == anchors
        assert again.dim_key == 2
    private = dps.Budget(1.0, 1e-6, neighbors="add-remove").release(
        anchors.summarize([[0.1, 1.0]], [[1.0, 0.0]]), share=1
    )
    assert np.array_equal(pickle.loads(pickle.dumps(private)).query([[1.0, 0.0]]), private.query([[1.0, 0.0]]))


def test_summaries_of_units_travel_as_bytes():
    memory = dps.CrossAttention(2, 1, key_norm=1.0, value_norm=1.0, unit_rule="mean")
    summary = memory.summarize([[0.1, 0.2]], [[0.3]], unit_ids=[7])
    again = dps.Summary.from_unprotected_bytes(memory, summary.to_unprotected_bytes())
    sums = again._open().sums._open()
    assert all(np.array_equal(array, sums[name]) for name, array in summary._open().sums._open().items())


def test_a_row_map_that_returns_floats_fails_whatever_the_rows():
    for rows in (np.ones((3, 1), np.int64), np.ones((0, 1), np.int64)):
        with pytest.raises(dps.PlanViolation, match="int64"):
            Rows(len(rows), rows).sum(lambda rows, public: [rows.sum(axis=0) * 1.0], {}, lines=("a",))
