"""The CUDA twins in Numba's simulator, which is chosen when Numba is imported: each test is a process of its own."""

import os
import subprocess
import sys

import pytest

SETUP = """
import sys
import numpy as np
from dpstruct.kernels import dispatch
assert dispatch.resolve("cuda") == "cuda" and dispatch.resolve("auto") == "cpu"
gpu, cpu = (dispatch.load("kde_tree", device) for device in ("cuda", "cpu"))
assert gpu is not cpu
rng = np.random.default_rng(0)
dtype = np.dtype(sys.argv[1])
n, d, depth = 60, 3, 4
low, high = np.array([0.0, -1.0, 0.1]), np.array([1.0, 2.0, 0.7])
bits = np.array([30, 21, 9])
X = rng.uniform(low - 0.2, high + 0.2, (n, d)).astype(dtype)
X[0], X[1], X[2:4, 0] = low, high, [np.nan, np.inf]
X[4] = np.nextafter(high.astype(dtype), dtype.type(-np.inf))
X[5] = (low + (high - low) * 5 / 16).astype(dtype)
middle, width = (low + high) / 2, high - low
"""

COUNT = """
gpu.NUMBERS = 100  # two blocks
arguments = low, high, middle, 2.0**bits / width, bits, depth
counts = gpu.leaf_counts(X, *arguments)
assert counts.dtype == np.int64 and (counts == cpu.leaf_counts(X, *arguments)).all()
assert counts[:, :, 0].sum(axis=1).tolist() == [n] * d
assert (gpu.leaf_counts(np.asfortranarray(X), *arguments) == counts).all()
assert not gpu.leaf_counts(X[:0], *arguments).any()
"""

LOOK_UP = """
gpu.NUMBERS = 100
for kind in (np.float32, np.float64):
    table = rng.normal(size=(d, 2**depth, 2)).astype(kind)
    answers = gpu.look_up(X, table, low, 2**depth / width)
    wanted = cpu.look_up(X, table, low, 2**depth / width)
    assert answers.dtype == np.float64 and np.isnan(answers).tolist() == np.isnan(X).any(axis=1).tolist()
    np.testing.assert_allclose(answers, wanted, rtol=0, atol=10 * 4 * np.finfo(kind).eps)
    assert gpu.look_up(X[:0], table, low, 2**depth / width).shape == (0,)
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("body", [COUNT, LOOK_UP], ids=["leaf_counts", "look_up"])
def test_the_gpu_agrees_with_the_cpu(body, dtype):
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-W", "error", "-c", SETUP + body, dtype]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
