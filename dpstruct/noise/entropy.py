"""Random words from a cryptographic generator. Nothing is kept between calls and nothing can be seeded."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["entropy_source", "system_words"]


@lru_cache(maxsize=1)
def _choose() -> tuple[str, Callable[[int], bytes]]:
    try:
        import ssl
    except ImportError:  # an interpreter built without OpenSSL
        return "os", os.urandom
    return ("openssl-drbg", ssl.RAND_bytes) if ssl.RAND_status() else ("os", os.urandom)


def entropy_source() -> str:
    """Name the generator behind every draw: ``"openssl-drbg"`` or ``"os"``.

    OpenSSL's generator is seeded by the operating system and reseeds itself in a forked child (since OpenSSL 1.1.1);
    it is some twenty times as fast as reading the kernel's.
    """
    return _choose()[0]


def system_words(count: int) -> NDArray[np.uint64]:
    """Return `count` fresh uniform 64-bit words. They are never handed out twice."""
    return np.frombuffer(_choose()[1](8 * count), np.uint64)
