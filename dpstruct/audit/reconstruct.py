"""Red team: rebuild private rows from released weights and moments, and judge identification rates exactly.

The target is a release of weights ``V = diag(v)`` and ``G = A^T V A`` of rows ``a_1 .. a_n``. The attacks must succeed
on such a release and fail on a private one, where "fail" is a theorem: see `identification_bound`. They read published
numbers and what the attacker is assumed to know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.audit.identification import Identification, identification_bound, identification_test
from dpstruct.domain import positive_integer, real
from dpstruct.errors import InvalidParameter

__all__ = [
    "Identification",
    "Reconstruction",
    "differencing",
    "identification_bound",
    "identification_test",
    "identify",
    "leverage_scores",
    "quadratic_form",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What an attack found.

    Attributes
    ----------
    attack : str
        Its name.
    knowledge : str
        What the attacker was given, in words.
    guesses : ndarray, shape (k, d)
        Candidate rows, or the completed rows of a joint attack, the best explanation first.
    residual : float
        How far the release is from what the first guess explains, relative to the size of both: near 1e-16 for an
        exact hit, of order 1 for a miss. None of the truth is used.
    """

    attack: str
    knowledge: str
    guesses: Array
    residual: float

    def error(self, row: ArrayLike) -> float:
        """Return the l2 distance from the true row to the nearest guess, up to sign."""
        true = np.asarray(row, dtype=np.float64)
        return float(min(np.linalg.norm(sign * guess - true) for guess in self.guesses for sign in (1, -1)))

    def __str__(self) -> str:
        shown = np.array2string(self.guesses[0], precision=6, separator=", ")
        more = f" or {len(self.guesses) - 1} other" + "s" * (len(self.guesses) > 2) if len(self.guesses) > 1 else ""
        return f"{self.attack}, knowing {self.knowledge}: {shown}{more}, unexplained share {self.residual:.2g}"


def differencing(weights: ArrayLike, gram: ArrayLike, known_rows: ArrayLike, index: int) -> Reconstruction:
    """Rebuild one row from weights, ``A^T V A`` and all other rows: the remainder has rank one.

    Parameters
    ----------
    weights : array_like, shape (n,)
        Released; that of the row must not be 0.
    gram : array_like, shape (d, d)
        Released.
    known_rows : array_like, shape (n - 1, d)
        The other rows, in order.
    index : int
        Of the missing row.

    Returns
    -------
    Reconstruction
        One guess, up to sign.

    Raises
    ------
    InvalidParameter
        If shapes do not agree, a value is not finite, or the weight is 0.

    Examples
    --------
    >>> import numpy as np
    >>> rows, v = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]), np.array([0.2, 0.5, 0.3])
    >>> found = differencing(v, rows.T @ (v[:, None] * rows), rows[[0, 2]], 1)
    >>> found.error(rows[1]) < 1e-12
    True
    """
    remainder = _remainder(weights, gram, known_rows, index)
    values, vectors = np.linalg.eigh(remainder)
    guess = math.sqrt(max(float(values[-1]), 0.0)) * vectors[:, -1]
    residual = float(np.abs(values[:-1]).sum() / max(np.abs(values).sum(), np.finfo(float).tiny))
    return Reconstruction("differencing", "the weights and all other rows", guess[None], residual)


def identify(weights: ArrayLike, gram: ArrayLike, known_rows: ArrayLike, index: int, candidates: ArrayLike) -> int:
    """Return which of some candidate rows explains the remainder of `differencing` best, in Frobenius norm.

    Parameters
    ----------
    weights, gram, known_rows, index : as in `differencing`
    candidates : array_like, shape (k, d)

    Returns
    -------
    int
        Most likely candidate if they are equally likely and the noise of `gram` is isotropic.
    """
    remainder = _remainder(weights, gram, known_rows, index)
    choices = _matrix("candidates", candidates, (None, len(remainder)))
    gaps = [np.linalg.norm(remainder - np.outer(row, row)) for row in choices]
    return int(np.argmin(gaps))


def quadratic_form(gram: ArrayLike, known: ArrayLike, missing: int, *, level: SupportsFloat = 1.0) -> Reconstruction:
    """Rebuild one attribute of a row from ``G`` and its other attributes: ``a^T G^-1 a = level`` is a quadratic.

    Parameters
    ----------
    gram : array_like, shape (d, d)
        Released and positive definite. If the weights are optimal and of sum d, rows of positive weight are at level 1.
    known : array_like, shape (d,)
        The row; what it holds at `missing` is not read.
    missing : int
        Index of the unknown attribute.
    level : float
        Public, or read off the stopping rule.

    Returns
    -------
    Reconstruction
        Two guesses; a negative discriminant is taken for 0.

    Raises
    ------
    InvalidParameter
        If shapes do not agree, a value is not finite, or `gram` is singular.

    Examples
    --------
    >>> import numpy as np
    >>> found = quadratic_form(np.eye(2), [0.6, np.nan], 1)
    >>> round(found.error([0.6, 0.8]), 12)
    0.0
    """
    shape = np.shape(gram)
    matrix = _matrix("gram", gram, (shape[0] if shape else 0,) * 2)
    d = len(matrix)
    at = _index("missing", missing, d)
    row = np.array(known, dtype=np.float64)
    if row.shape != (d,):
        raise InvalidParameter("known", f"shape {row.shape}", f"shape ({d},)")
    row[at] = 0.0
    if not np.isfinite(row).all():
        raise InvalidParameter("known", "a value that is not finite", "finite attributes, but for the missing one")
    try:
        inverse = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        raise InvalidParameter("gram", "a singular matrix", "a positive definite matrix") from None
    a, b, c = inverse[at, at], float(inverse[at] @ row), float(row @ inverse @ row) - real("level", level)
    root = math.sqrt(max(b * b - a * c, 0.0))
    guesses = np.array([row, row])
    guesses[:, at] = (-b + root) / a, (-b - root) / a
    residual = max(a * c - b * b, 0.0) / (b * b + abs(a * c) + np.finfo(float).tiny)
    return Reconstruction("quadratic form", "the moment matrix and the other attributes of the row", guesses, residual)


def leverage_scores(
    weights: ArrayLike, rows: ArrayLike, *, scores: ArrayLike = 1.0, starts: int = 20, steps: int = 60, seed: int = 0
) -> Reconstruction:
    """Rebuild unknown entries of rows from weights alone, by damped Gauss-Newton on the leverage equations.

    Parameters
    ----------
    weights : array_like, shape (n,)
        Released.
    rows : array_like, shape (n, d)
        What the attacker knows; NaN marks the unknown entries.
    scores : array_like, shape (n,) or scalar
        Released or implied values of ``a_i^T (A^T V A)^-1 a_i``, read where the weight is positive: 1 for optimal
        weights of sum d.
    starts, steps : int
        Random starts, and steps of each.
    seed : int
        Of the starts.

    Returns
    -------
    Reconstruction
        The completed rows that had unknown entries, of the best start.

    Raises
    ------
    InvalidParameter
        If shapes do not agree, nothing is unknown, or a weight is negative or not finite.

    Notes
    -----
    Inverting leverage scores: arXiv 2404.13785, 2408.11267. The scores do not change if all rows are multiplied by one
    invertible matrix, so without enough known entries the solution is one of many.
    """
    known = np.array(rows, dtype=np.float64)
    if known.ndim != 2 or not np.isnan(known).any() or np.isinf(known).any():
        raise InvalidParameter("rows", f"an array of shape {known.shape}", "shape (n, d), NaN at unknown entries only")
    v = _vector("weights", weights, len(known))
    if not (v >= 0).all():
        raise InvalidParameter("weights", "a negative weight", "weights >= 0")
    target = np.broadcast_to(np.asarray(scores, dtype=np.float64), v.shape)
    unknown, used = np.isnan(known), v > 1e-9 * v.max()
    random = np.random.default_rng(seed)
    size = float(np.nanstd(known)) if (~unknown).any() else 1.0
    best, lowest = known, math.inf
    starts, steps = (positive_integer(name, n, at_most=10**6) for name, n in (("starts", starts), ("steps", steps)))
    for _ in range(starts):
        filled = known.copy()
        filled[unknown] = random.normal(0.0, size or 1.0, int(unknown.sum()))
        filled, left = _gauss_newton(filled, unknown, v, used, target, steps)
        if left < lowest:
            best, lowest = filled, left
    guesses = best[unknown.any(axis=1)]
    told = f"the weights and {int((~unknown).sum())} of {known.size} entries"
    return Reconstruction("leverage scores", told, guesses, lowest)


def _gauss_newton(
    rows: Array, unknown: NDArray[np.bool_], v: Array, used: NDArray[np.bool_], target: Array, steps: int
) -> tuple[Array, float]:
    """Levenberg-Marquardt; returns the rows and the relative size of the equations' residual."""
    damping, now = 1e-2, _equations(rows, unknown, v)
    for _ in range(steps):
        gap, jacobian = (now[0] - target)[used], now[1][used]
        normal = jacobian.T @ jacobian
        ridge = damping * (np.diag(np.maximum(np.diag(normal), 1e-12)))
        moved = rows.copy()
        moved[unknown] -= np.linalg.solve(normal + ridge, jacobian.T @ gap)
        then = _equations(moved, unknown, v)
        if np.linalg.norm((then[0] - target)[used]) < np.linalg.norm(gap):
            rows, now, damping = moved, then, max(damping / 5, 1e-15)
        elif damping > 1e10:
            break
        else:
            damping *= 4
    left = np.linalg.norm((now[0] - target)[used]) / max(float(np.linalg.norm(target[used])), np.finfo(float).tiny)
    return rows, float(left)


def _equations(rows: Array, unknown: NDArray[np.bool_], v: Array) -> tuple[Array, Array]:
    """Scores ``h_i = a_i^T M^-1 a_i`` with ``M = sum v a a^T``, and their derivatives by the unknown entries."""
    moment = rows.T @ (v[:, None] * rows)
    solved = np.linalg.solve(moment + 1e-14 * np.trace(moment) * np.eye(len(moment)), rows.T).T
    cross = solved @ rows.T
    owner, column = np.nonzero(unknown)
    jacobian = -2 * v[owner] * cross[:, owner] * solved[:, column]
    jacobian[owner, np.arange(len(owner))] += 2 * solved[owner, column]
    return np.diag(cross).copy(), jacobian


def _remainder(weights: ArrayLike, gram: ArrayLike, known_rows: ArrayLike, index: int) -> Array:
    """``(G - sum of the known v a a^T) / v_index``."""
    shape = np.shape(gram)
    matrix = _matrix("gram", gram, (shape[0] if shape else 0,) * 2)
    known = _matrix("known_rows", known_rows, (None, len(matrix)))
    v = _vector("weights", weights, len(known) + 1)
    at = _index("index", index, len(v))
    if v[at] == 0:
        raise InvalidParameter("weights", "weight 0 of the missing row", "a row that the release weighs")
    others = np.delete(v, at)
    return np.asarray((matrix - known.T @ (others[:, None] * known)) / v[at])


def _matrix(argument: str, value: ArrayLike, shape: Sequence[int | None]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    fits = array.ndim == 2 and all(want in (None, have) for want, have in zip(shape, array.shape))
    if not (fits and np.isfinite(array).all()):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InvalidParameter(argument, f"an array of shape {array.shape}", f"finite numbers of shape ({wanted})")
    return array


def _vector(argument: str, value: Any, length: int) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != (length,) or not np.isfinite(array).all():
        raise InvalidParameter(argument, f"an array of shape {array.shape}", f"finite numbers of shape ({length},)")
    return array


def _index(argument: str, value: int, length: int) -> int:
    at = int(value)
    if not 0 <= at < length:
        raise InvalidParameter(argument, str(at), f"an index below {length}")
    return at
