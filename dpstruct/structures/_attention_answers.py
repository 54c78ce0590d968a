"""From noisy numerators and denominators to attention outputs: everything here is post-processing, and free.

Values are in units of the value ball. Per query, N and D are linear in the noisy state; the noisy mean of all values is
the safe answer, towards which an output is shrunk as far as its noise demands (James-Stein).
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Release
from dpstruct.domain import check_rows
from dpstruct.errors import InvalidParameter

__all__ = ["Evaluated", "Heads", "PrivateMemory"]

Floats = NDArray[np.float64]
Answers = NDArray[Any]
_CHUNK = 1 << 13
FLOOR = 0.2  # of the noisy count: the least denominator


class Evaluated(NamedTuple):
    """What a state says about some queries, before it is shrunk: arrays of shape (q,), `N` of shape (q, dv)."""

    N: Answers
    D: Floats
    var_N: Floats  # variance of each coordinate of N, and of D
    var_D: Floats
    cov_N: Floats  # covariance with the noisy sum of all values, and with the noisy count
    cov_D: Floats
    lowest: Floats  # least weight of a record whose average weight is 1
    log_scale: Floats  # true sums of exponentials are exp(log_scale) times N and D


class Heads(NamedTuple):
    """Per head: noisy mean of the values, shape (H, dv), what is left of it after shrinking, and its noise."""

    mean: Floats
    kept: Floats
    var_sum: float  # variance of a coordinate of the noisy sum of values, and of the count
    var_count: float


class PrivateMemory(Release):
    """Base of the releases that answer attention queries."""

    @property
    @abstractmethod
    def count(self) -> float:
        """Number of records: exact where it is public, else noisy; of units under a unit rule."""

    @property
    def _blueprint(self) -> Any:
        return self.__dict__["_structure"]

    @abstractmethod
    def _sum_of_values(self) -> tuple[Floats, float, float]:
        """Return the noisy sum of all values, (H, dv), with its variance and that of the count."""

    @abstractmethod
    def _evaluate(self, head: int, Q: Answers, temperature: Floats, coefficients: Any) -> Evaluated:
        """Evaluate the state of one head at finite queries."""

    @cached_property
    def _heads(self) -> Heads:
        total, var_sum, var_count = self._sum_of_values()
        mean, dv = total / max(self.count, 1.0), total.shape[1]
        kept = np.ones(len(mean))
        if dv >= 3:
            energy = np.maximum((mean**2).sum(axis=1) * max(self.count, 1.0) ** 2, 1e-300)
            kept = np.maximum(0.0, 1 - dv * var_sum / energy)
        return Heads(mean * kept[:, None], kept, var_sum, var_count)

    def query(
        self,
        Q: ArrayLike,
        *,
        temperature: ArrayLike | None = None,
        coefficients: Any = None,
        shrink: bool = True,
        device: str = "auto",
    ) -> Answers:
        """Return the attention output of each query, for ever and for free.

        Parameters
        ----------
        Q : array-like, shape (..., d), or (..., heads, d) with several heads
            Queries, in the units of the keys. float32 queries are answered in float32. A NaN or infinity gives NaN.
        temperature : float or array-like, optional
            Weights are ``softmax(<q, k> / temperature)``; one for all queries or one per query, > 0. Default
            ``sqrt(dim_key)``.
        coefficients : optional
            Of the polynomial (`CrossAttention` only): ``"prior"``, ``"taylor"`` or degree + 1 numbers, by default the
            blueprint's.
        shrink : bool
            Shrink towards the noisy mean of the values and project to the value ball. Without it the plain ratio.
        device : {"auto", "cpu"}
            Where to compute.

        Returns
        -------
        ndarray of float32 or float64, shape (..., dv) or (..., heads, dv)
        """
        _check_device(device)
        center = np.array(self._blueprint.value_center or 0.0)

        def answer(head: int, e: Evaluated) -> Answers:
            out = self._shrunk(head, e) if shrink else e.N / self._floored(e)[:, None].astype(e.N.dtype)
            moved: Answers = out * e.N.dtype.type(self._blueprint.value_norm) + center.astype(e.N.dtype)
            return moved

        self._warn_of_capacity()
        return cast(Answers, self._each(Q, temperature, coefficients, answer, (self._blueprint.dim_value,)))

    def numerator_denominator(
        self, Q: ArrayLike, *, temperature: ArrayLike | None = None, coefficients: Any = None
    ) -> tuple[Answers, Answers, Answers]:
        """Return numerators, denominators and log-scales: ``exp(log_scale)`` times the first two are noisy sums.

        Of ``exp(<q, k> / temperature) v`` and of ``exp(<q, k> / temperature)``, over all records; add the sums over
        public tokens to mix them with this memory. For prior coefficients the scale itself is an estimate.

        Returns
        -------
        numerator : ndarray, shape (..., dv)
        denominator, log_scale : ndarray, shape (...)
        """
        blueprint = self._blueprint

        def answer(head: int, e: Evaluated) -> Answers:
            N = e.N.astype(np.float64) * blueprint.value_norm + e.D[:, None] * np.array(blueprint.value_center or 0.0)
            return np.concatenate([N, e.D[:, None], e.log_scale[:, None]], axis=1)

        both = self._each(Q, temperature, coefficients, answer, (blueprint.dim_value + 2,))
        return both[..., :-2], both[..., -2], both[..., -1]

    def error(self, Q: ArrayLike, *, temperature: ArrayLike | None = None, coefficients: Any = None) -> Floats:
        """Return the standard error (of the l2 norm) that noise gives each plain output, shape (...), from the release.

        ``value_norm * sqrt(dv var_N + |o|**2 var_D) / D`` with the released denominator D and output o; the bias of the
        polynomial is not in it. Shrunk outputs err less on average.
        """
        dv, size = self._blueprint.dim_value, self._blueprint.value_norm

        def answer(head: int, e: Evaluated) -> Answers:
            D = self._floored(e)
            o = np.minimum(np.einsum("ij,ij->i", e.N, e.N, dtype=np.float64) / D**2, 1.0)
            errors: Answers = size * np.sqrt(dv * e.var_N + o * e.var_D) / D
            return errors

        return np.asarray(self._each(Q, temperature, coefficients, answer, ()))

    def reliable(
        self, Q: ArrayLike, *, temperature: ArrayLike | None = None, coefficients: Any = None
    ) -> NDArray[np.bool_]:
        """Return whether denominator and count exceed three of their standard errors, shape (...)."""
        counted = bool(self.count > 3 * np.sqrt(self._heads.var_count))

        def answer(head: int, e: Evaluated) -> Answers:
            good: Answers = (np.maximum(3 * np.sqrt(e.var_D), FLOOR * self.count) < e.D) & counted
            return good

        return np.asarray(self._each(Q, temperature, coefficients, answer, ()) == 1)

    def _floored(self, e: Evaluated) -> Floats:
        """Return denominators that no noise makes tiny; the floor is a matter of the noisy count alone."""
        floor = max(self.count, 1.0) * np.maximum(FLOOR, e.lowest)
        result: Floats = np.maximum(e.D, floor)
        return result

    def _shrunk(self, head: int, e: Evaluated) -> Answers:
        dv, mean = e.N.shape[1], self._heads.mean[head]
        dtype = e.N.dtype
        centred: Answers = e.N - e.D.astype(dtype)[:, None] * mean.astype(dtype)
        D = self._floored(e)
        if dv >= 3:
            variance = self._centred_variance(head, e)
            energy = np.maximum(np.einsum("ij,ij->i", centred, centred, dtype=np.float64), 1e-300)
            centred *= (np.maximum(0.0, 1 - (dv - 2) * variance / energy) / D).astype(dtype)[:, None]
        else:
            centred /= D.astype(dtype)[:, None]
        centred += mean.astype(dtype)
        length = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64))
        if (length > 1).any():
            centred /= np.maximum(length, 1.0).astype(dtype)[:, None]
        return centred

    def _centred_variance(self, head: int, e: Evaluated) -> Floats:
        """Return the variance of a coordinate of ``N - mean D``, which shares noise with the mean and the count."""
        heads, ratio = self._heads, e.D / max(self.count, 1.0)
        mean, kept = heads.mean[head], heads.kept[head]
        var_N = e.var_N - 2 * kept * ratio * e.cov_N + (kept * ratio) ** 2 * heads.var_sum
        var_D = e.var_D - 2 * ratio * e.cov_D + ratio**2 * heads.var_count
        result: Floats = np.maximum(var_N + (mean @ mean) / len(mean) * var_D, 0.0)
        return result

    def _each(self, Q: ArrayLike, temperature: Any, coefficients: Any, answer: Any, shape: tuple[int, ...]) -> Any:
        """Apply `answer` to the evaluated queries of every head, a chunk at a time."""
        blueprint = self._blueprint
        rows, lead = _queries(Q, blueprint.dim_key, blueprint._heads)
        soft = _temperatures(temperature, blueprint.dim_key, lead).reshape(-1, blueprint._heads)
        usable: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=2))
        wanted = np.float64 if shape in ((), (blueprint.dim_value + 2,)) else rows.dtype
        out = np.empty((*rows.shape[:2], *shape), wanted)
        for head in range(blueprint._heads):
            for start in range(0, len(rows), _CHUNK):
                part = slice(start, start + _CHUNK)
                good = usable[part, head]
                q = np.where(good[:, None], rows[part, head], 0)
                e = self._evaluate(head, q, soft[part, head], coefficients)
                with np.errstate(all="ignore"):
                    out[part, head] = answer(head, e)
                if not good.all():
                    out[part, head][~good] = np.nan
        return out.reshape(*lead, *shape)


def _queries(Q: ArrayLike, dim: int, heads: int) -> tuple[Answers, tuple[int, ...]]:
    """Return queries as (q, heads, d) in float32 or float64, and the shape that the answers lead with."""
    array = np.asarray(Q)
    tail = (dim,) if heads == 1 else (heads, dim)
    if array.shape[-len(tail) :] != tail:
        wanted = "(..., " + ", ".join(map(str, tail)) + ")"
        raise InvalidParameter("Q", f"shape {array.shape}", f"an array of shape {wanted}")
    flat = check_rows("Q", array.reshape(-1, dim), dim)
    dtype = np.float32 if flat.dtype == np.float32 else np.float64
    return flat.reshape(-1, heads, dim).astype(dtype, copy=False), array.shape[:-1]


def _temperatures(temperature: Any, dim: int, lead: tuple[int, ...]) -> Floats:
    """Return one temperature per query and head."""
    try:
        given = np.asarray(np.sqrt(dim) if temperature is None else temperature, dtype=np.float64)
        spread = np.broadcast_to(given, lead)
    except (TypeError, ValueError):
        raise InvalidParameter(
            "temperature", "something else", f"a number, or numbers that broadcast to {lead}"
        ) from None
    if not (np.isfinite(spread).all() and (spread > 0).all()):
        raise InvalidParameter("temperature", "a value that is not positive and finite", "positive numbers")
    return spread


def _check_device(device: str) -> None:
    if device not in ("auto", "cpu"):
        raise InvalidParameter("device", repr(device), '"auto" or "cpu": attention has no other kernels')
