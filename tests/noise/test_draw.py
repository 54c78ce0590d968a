"""`draw`: laws, shapes, scales, and that no word is ever used twice."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from oracle import noise as oracle
from scipy import stats

from dpstruct import noise
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.noise import entropy, sampler
from dpstruct.noise.sampler import _BLOCK, _draw_from
from dpstruct.privacy import laws

KINDS = ["rounded-gaussian", "discrete-laplace"]
LEVEL = 1e-8  # of every single test of fit; fewer than a hundred of them, so false alarms stay below 1e-6
ONE = np.array([1.0])


def upper(kind, scale, k):
    """Return P(X >= k) for signed k."""
    k = np.asarray(k)
    one_sided = 0.5 * laws.tail(kind, scale, np.where(k > 0, k, 1 - k))
    return np.where(k > 0, one_sided, 1 - one_sided)


def chi_square(counts, probabilities):
    """Return the p-value of the counts; bins with fewer than 20 expected are joined to the next."""
    expected = probabilities * counts.sum()
    group = np.cumsum(expected) // 20
    _, start = np.unique(group, return_index=True)
    observed, expected = np.add.reduceat(counts, start), np.add.reduceat(expected, start)
    if expected[-1] < 20:
        observed = np.append(observed[:-2], observed[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    return stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue


def fit(kind, scale, sample):
    """Return the p-value of a sample against its law, over at most 400 bins out to the far tails."""
    reach = 6 if kind == "rounded-gaussian" else 12
    edges = np.unique(np.round(np.linspace(-reach * max(scale, 1), reach * max(scale, 1), 401)))
    above = np.concatenate([[1.0], upper(kind, scale, edges), [0.0]])
    counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=edges.size + 1)
    return chi_square(counts, above[:-1] - above[1:])


@pytest.mark.parametrize("scale", [0.3, 0.8, 5.0, 1000.0, 2.0**22, 2.0**40])
@pytest.mark.parametrize("kind", KINDS)
def test_the_law(kind, scale):
    """Chi-square of 2^19 draws against the exact law, and of the position within 16 for wide ones."""
    sample = _draw_from(oracle.Seeded(10), kind, np.array([scale]), (1 << 19,))
    assert fit(kind, scale, sample) > LEVEL
    if scale >= 1000:
        assert stats.chisquare(np.bincount(sample & 15, minlength=16)).pvalue > LEVEL


@pytest.mark.parametrize("kind", KINDS)
def test_the_test_of_fit_rejects_wrong_scales_and_shifts(kind):
    sample = _draw_from(oracle.Seeded(10), kind, np.array([5.0]), (1 << 19,))
    assert fit(kind, 5.1, sample) < LEVEL
    assert fit(kind, 5.0, sample + 1) < LEVEL
    assert fit(kind, 5.0, np.where(sample == 0, 1, sample)) < LEVEL


@pytest.mark.parametrize("kind", KINDS)
def test_signs_are_even_and_halves_are_independent(kind):
    """Signs, products and squared products of the two halves of a block; normal limits, six standard errors."""
    sample = _draw_from(oracle.Seeded(11), kind, np.array([1000.0]), (2, _BLOCK)).reshape(2, 2, -1)
    x, y = sample[:, 0].ravel() / 1000, sample[:, 1].ravel() / 1000
    for z in (np.sign(x), np.sign(y), x * y, (x * x - (x * x).mean()) * (y * y - (y * y).mean()), x**3 * y):
        assert abs(z.mean()) < 6 * z.std() / np.sqrt(z.size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 7, 64, _BLOCK - 1, _BLOCK, _BLOCK + 1, 2 * _BLOCK + 4097])
def test_every_word_is_asked_for_once(kind, n):
    """Two words per pair of Gaussians or per Laplace entry, from the block's own stream, and no more."""
    source = oracle.Seeded(12)
    _draw_from(source, kind, ONE, (n,))
    sizes = [min(_BLOCK, n - start) for start in range(0, n, _BLOCK)]
    per_block = [2 * size if kind == "discrete-laplace" else size + size % 2 for size in sizes]
    assert source.taken == {i: [count] for i, count in enumerate(per_block)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [6, 7])
def test_every_word_moves_its_own_entries_only(kind, n):
    words = oracle.Seeded(13)(0)(2 * n if kind == "discrete-laplace" else n + n % 2)
    scale, units = np.array([2.0**30]), len(words) // 2
    base = _draw_from(oracle.Fixed(words), kind, scale, (n,))
    for j in range(len(words)):
        changed = words.copy()
        changed[j] ^= np.uint64(1 << 62)
        moved = set(np.flatnonzero(_draw_from(oracle.Fixed(changed), kind, scale, (n,)) != base))
        own = {j % units} if kind == "discrete-laplace" else {j % units, j % units + units}
        assert moved == own & set(range(n))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_repeats_between_halves_blocks_and_calls(kind):
    """Two places agree with chance below 2^-41 at scale 2^40; 2^23 comparisons agree twice with chance below 2^-36."""
    first = noise.draw(kind, np.array([2.0**40]), (4, _BLOCK)).reshape(8, -1)
    second = noise.draw(kind, np.array([2.0**40]), (4, _BLOCK)).reshape(8, -1)
    rows = [*first, *second]
    for i, row in enumerate(rows):
        for other in rows[:i]:
            assert np.count_nonzero(row == other) < 2
            assert np.count_nonzero(row == -other) < 2


@pytest.mark.parametrize("kind", KINDS)
def test_thread_count_changes_nothing(kind, monkeypatch):
    shape, scales = (5, _BLOCK // 2 + 3), np.array([0.8, 5.0, 1000.0, 2.0**36, 2.0**44])
    drawn = []
    for count in ("1", "4"):
        monkeypatch.setenv("DPSTRUCT_NUM_THREADS", count)
        drawn.append(_draw_from(oracle.Seeded(14), kind, scales, shape))
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_concurrent_callers_on_the_exact_path_agree(kind):
    """At 2^52 several per cent of the elements reach the interval arithmetic, here from three threads at once."""
    drawn = {}

    def work(i):
        drawn[i] = _draw_from(oracle.Seeded(15), kind, np.array([2.0**52]), (1500,))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (3, 0), (0, 3), (2, 3, 5), (3, 40001)])
def test_shapes(kind, shape):
    scales = np.linspace(1.0, 2.0, shape[0]) if shape and shape[0] else ONE
    for choice in (ONE, scales):
        drawn = noise.draw(kind, choice, shape)
        assert (drawn.shape, drawn.dtype, drawn.flags.c_contiguous) == (shape, np.int64, True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (5, 2, 7), (3, _BLOCK // 2 + 1)])
def test_each_row_has_its_own_scale(kind, shape):
    """With one word for all entries, every entry is a function of its own row's scale (of x or y for Gaussians)."""
    scales = 1000.0 * np.arange(1, shape[0] + 1)

    def constant(block):
        return lambda count: oracle.frozen(np.repeat(np.array([2**62, 2**61 // 5], np.uint64), count // 2))

    drawn = _draw_from(constant, kind, scales, shape).reshape(shape[0], -1)
    for i, scale in enumerate(scales):
        expected = _draw_from(constant, kind, np.array([scale]), (2,))
        assert set(np.unique(drawn[i])) <= set(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_the_stated_spread(kind):
    """Variance of each of eight rows; the normal limit at 2^14 draws, six standard errors (kurtosis 3 or 6)."""
    scales = 2.0 ** np.arange(8) / 2
    drawn = _draw_from(oracle.Seeded(16), kind, scales, (8, 1 << 14))
    error = 6 * np.sqrt(5.5 / (1 << 14))
    np.testing.assert_allclose(drawn.var(1) / laws.variance(kind, scales), 1, atol=error)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, -np.inf, 2.0**52 * (1 + 2.0**-52)])
@pytest.mark.parametrize("kind", KINDS)
def test_refused_scales(kind, scale):
    with pytest.raises(InvalidParameter, match="scales"):
        noise.draw(kind, np.array([1.0, scale]), (2, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_scales(kind):
    assert not noise.draw(kind, np.array([5e-324]), (3,)).any()
    assert not noise.draw(kind, np.array([1e-3]), (1000,)).any()
    drawn = noise.draw(kind, np.array([2.0**52]), (64,))
    assert 2**44 < np.abs(drawn).max() < 2**58


@pytest.mark.parametrize("scales", [np.ones(2), np.ones(0), np.ones((3, 1)), np.ones(4)])
def test_refused_number_of_scales(scales):
    with pytest.raises(InvalidParameter, match="scales"):
        noise.draw("rounded-gaussian", scales, (3, 4))


@pytest.mark.parametrize("scales", [1.0, [1.0], np.ones(1, np.float32), np.ones(1, int)])
def test_refused_types(scales):
    with pytest.raises(InvalidType, match="scales"):
        noise.draw("rounded-gaussian", scales, (3,))


def test_refused_kind():
    with pytest.raises(InvalidParameter, match="kind"):
        noise.draw("gaussian", ONE, (3,))


def test_no_seed_and_no_generator_on_the_public_path():
    assert list(inspect.signature(noise.draw).parameters) == ["kind", "scales", "shape"]
    assert noise.__all__ == ["draw", "entropy_source"]


def test_draw_takes_fresh_words_from_the_system(monkeypatch):
    counts = []

    def counted(count):
        counts.append(count)
        return entropy.system_words(count)

    monkeypatch.setattr(sampler, "system_words", counted)
    noise.draw("rounded-gaussian", ONE, (_BLOCK + 6,))
    assert sorted(counts) == [6, _BLOCK]


def test_entropy():
    words = entropy.system_words(1000)
    assert (words.dtype, words.size, words.flags.writeable) == (np.uint64, 1000, False)
    assert np.unique(words).size == 1000
    assert noise.entropy_source() in {"openssl-drbg", "os"}


@pytest.mark.parametrize("openssl", [True, False])
def test_entropy_source_names_what_is_used(openssl, monkeypatch):
    import ssl

    entropy._choose.cache_clear()
    if openssl:
        monkeypatch.setattr(ssl, "RAND_bytes", lambda count: bytes(count))
        monkeypatch.setattr(ssl, "RAND_status", lambda: True)
    else:
        monkeypatch.setitem(sys.modules, "ssl", None)
        monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    try:
        assert noise.entropy_source() == ("openssl-drbg" if openssl else "os")
        assert not entropy.system_words(3).any()
    finally:
        entropy._choose.cache_clear()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_children_draw_different_noise():
    """Parent and two children after a warm-up draw; equal values at 2^40 in eight places have chance below 2^-200."""
    script = (
        "import os, numpy as np\n"
        "from dpstruct.noise import draw\n"
        "go = lambda: print(*draw('rounded-gaussian', np.array([2.0**40]), (8,)), flush=True)\n"
        "draw('rounded-gaussian', np.array([2.0**40]), (8,))\n"
        "for _ in range(2):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        go(); os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "go()\n"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    lines = printed.split("\n")[:-1]
    assert len(lines) == 3
    assert len({word for line in lines for word in line.split()}) == 24


@pytest.mark.parametrize("kind", KINDS)
def test_read_only_and_strided_scales_compile_nothing_new(kind):
    from dpstruct.kernels import noise as fast

    kernel = fast.gaussian if kind == "rounded-gaussian" else fast.laplace
    noise.draw(kind, np.ones(6), (6,))
    before = len(kernel.signatures)
    noise.draw(kind, oracle.frozen(np.ones(6)), (6,))
    noise.draw(kind, np.ones(12)[::2], (6, 2))
    assert len(kernel.signatures) == before
