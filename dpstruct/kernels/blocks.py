"""Spread independent blocks of rows over threads. Imports no Numba, so that it is free to import."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def threads() -> int:
    """Return ``DPSTRUCT_NUM_THREADS`` if it is set, else the number of cores this process may run on."""
    wanted = os.environ.get("DPSTRUCT_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spans(n: int, block: int) -> Iterator[tuple[int, int]]:
    """Yield ``(start, stop)`` for consecutive blocks of at most `block` of `n` rows."""
    for start in range(0, n, block):
        yield start, min(start + block, n)


def run(task: Callable[[int, int], T], pieces: Iterable[tuple[int, int]]) -> list[T]:
    """Call ``task(start, stop)`` on every piece and return the results in order.

    A pool lives for one call only, which keeps the library safe to fork; a single piece or a single thread runs in
    the caller's thread.
    """
    pieces = list(pieces)
    workers = min(threads(), len(pieces))
    if workers <= 1:
        return [task(a, b) for a, b in pieces]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda piece: task(*piece), pieces))
