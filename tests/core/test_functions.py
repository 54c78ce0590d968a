"""Functions in blueprints: a label tells functions apart by what they compute, and no file gives one back."""

import functools
import gc

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.core.functions import label_of, labelled


def plus(sign):
    def features(rows):
        return sign * rows

    return features


def test_labels_tell_closures_apart():
    one, other = plus(1), plus(-1)
    assert label_of(one) == label_of(plus(1)) != label_of(other)
    assert label_of(plus(np.ones(3))) != label_of(plus(np.array([1.0, 1.0, 2.0])))
    assert label_of(plus(np.ones((1, 4)))) != label_of(plus(np.ones((2, 2))))
    assert label_of(lambda rows: rows) != label_of(lambda rows: -rows)
    assert label_of(plus(one)) != label_of(plus(other))


def test_a_function_that_is_gone_is_not_replaced_by_its_namesake():
    gone, stays = plus(3), plus(4)
    label = label_of(gone)
    label_of(stays)
    assert labelled(label) is gone
    del gone
    gc.collect()
    with pytest.raises(dps.FileFormatError, match="structure="):
        labelled(label)


@pytest.mark.parametrize("thing", [functools.partial(plus, 1), np.sin, int, plus(object())])
def test_other_callables_are_refused(thing):
    with pytest.raises(dps.InvalidParameter, match="function"):
        label_of(thing)


def test_one_key_does_not_serve_two_functions():
    def made(sign):
        return dps.KernelDensity(plus(np.array(float(sign))), bounds=dps.Box(0, 1, dim=2))

    budget, X = dps.Budget(2.0, 1e-6, neighbors="add-remove"), np.full((10, 2), 0.5)
    budget.release(made(1).summarize(X), share=0.1, key="k")
    with pytest.raises(dps.DPStructError):
        budget.release(made(-1).summarize(X), share=0.1, key="k")
