"""Public directions spread evenly over the circle or the sphere, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["even_directions"]


def even_directions(dim: int, count: int) -> NDArray[np.float64]:
    """Return `count` directions spread evenly over half the circle (dim 2) or half the sphere (dim 3).

    Equal angles, and Fibonacci's lattice: the average of ``|<u, z>|`` over them is nearly the same for every z.

    Returns
    -------
    ndarray of float64, shape (dim, count)
    """
    import mpmath

    with mpmath.workprec(100):
        golden = mpmath.pi * (1 + mpmath.sqrt(5))
        vectors = []
        for k in range(count):
            place = (mpmath.mpf(k) + 0.5) / count
            if dim == 2:
                vectors.append([mpmath.cos(mpmath.pi * place), mpmath.sin(mpmath.pi * place)])
            else:
                flat = mpmath.sqrt(1 - place**2)
                vectors.append([flat * mpmath.cos(golden * k), flat * mpmath.sin(golden * k), place])
        return np.array([[float(v) for v in vector] for vector in vectors]).T.copy()
