"""Fixed random words for statistical tests, in place of the operating system's."""

import threading

import numpy as np
import pytest

from dpstruct.noise import sampler


@pytest.fixture
def fixed_words(monkeypatch):
    random, lock = np.random.default_rng(20240601), threading.Lock()

    def words(count):
        with lock:
            return random.integers(0, 2**64, count, dtype=np.uint64)

    monkeypatch.setattr(sampler, "system_words", words)
    monkeypatch.setenv("DPSTRUCT_NUM_THREADS", "1")
