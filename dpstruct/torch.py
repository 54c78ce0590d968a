"""Private attention inside PyTorch models: a module in the layout of ``scaled_dot_product_attention``.

Importing this module loads PyTorch; nothing else in dpstruct does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

try:
    import torch
except ImportError:
    raise ImportError("dpstruct.torch needs PyTorch: pip install torch") from None

from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.structures import PrivateCrossAttention
from dpstruct.structures import _attention_coefficients as polynomials
from dpstruct.structures._attention_answers import FLOOR

__all__ = ["PrivateAttention"]

_CHUNK = 1 << 12  # queries whose features exist at a time


def _tables(private: PrivateCrossAttention, coefficients: Any) -> Any:
    """Return per head, over the grid of thetas: coefficients, least value, log-scale."""
    heads = range(private.structure.heads)
    return np.stack([np.column_stack(private._coefficients(h, polynomials.grid(), coefficients)) for h in heads])


def _along(theta: Any, table: Any) -> Any:
    """Interpolate a table over the grid by local cubics, differentiably; the twin of `polynomials.along`."""
    size = table.shape[0]
    position = theta.clamp(0, polynomials.LARGEST_THETA).log1p() / math.log1p(polynomials.LARGEST_THETA) * (size - 1)
    k = position.detach().long().clamp(1, size - 3)
    u = (position - k)[..., None]
    left, a, b, right = (table[k + s] for s in (-1, 0, 1, 2))
    return (
        left * (-u * (u - 1) * (u - 2) / 6)
        + a * ((u + 1) * (u - 1) * (u - 2) / 2)
        + b * (-(u + 1) * u * (u - 2) / 2)
        + right * ((u + 1) * u * (u - 1) / 6)
    )


def _monomials(x: Any, A: Any) -> Any:
    """Return ``A_p`` times the monomials of degree p of the rows of `x`, in the order of the state."""
    d = x.shape[-1]
    parts, level = [A[:, :1], A[:, 1:2] * x], x
    for p in range(2, A.shape[1]):
        sizes = [math.comb(d - i + p - 2, p - 1) for i in range(d)]
        level = torch.cat([x[:, i : i + 1] * level[:, level.shape[1] - s :] for i, s in enumerate(sizes)], dim=1)
        parts.append(A[:, p : p + 1] * level)
    return torch.cat(parts, dim=1)


def _check(private: Any) -> PrivateCrossAttention:
    if not isinstance(private, PrivateCrossAttention):
        raise InvalidType("private", f"a {type(private).__name__}", "a PrivateCrossAttention")
    if private.structure.features != "exact":
        raise InvalidParameter("private", "a sketched release", 'one with features="exact"', "query it through NumPy")
    return private


def _refuse(attn_mask: Any, dropout_p: float, is_causal: bool) -> None:
    """Refuse what sums over all records can not do."""
    why = "the records were summed and can not be left out one by one"
    if attn_mask is not None:
        raise InvalidParameter("attn_mask", "a mask", "None", why)
    if is_causal:
        raise InvalidParameter("is_causal", "True", "False", why + ": they have no positions")
    if dropout_p:
        raise InvalidParameter("dropout_p", repr(dropout_p), "0.0", why)


class PrivateAttention(torch.nn.Module):  # type: ignore[misc]
    """Attend to a private memory from (B, H, S, E) queries; differentiable in the queries, nothing to train inside.

    Parameters
    ----------
    private : PrivateCrossAttention
        A release; its heads are the H of the queries, or one that serves them all.
    coefficients : optional
        As in `PrivateCrossAttention.query`.
    shrink : bool
        Shrink towards the noisy mean of the values, as `query` does.
    dtype : torch.dtype, optional
        Of the buffers; default float32.

    Notes
    -----
    Post-processing: gradients and any number of calls cost nothing. The gradient flows through the query's length
    into the coefficients, too; the floor under the denominator passes none.
    """

    def __init__(
        self, private: PrivateCrossAttention, *, coefficients: Any = None, shrink: bool = True, dtype: Any = None
    ) -> None:
        super().__init__()
        dtype = dtype or torch.float32
        blueprint, heads = _check(private).structure, private._heads

        def keep(name: str, values: Any) -> None:
            self.register_buffer(name, torch.as_tensor(np.array(values), dtype=dtype))

        var_N, var_D = private._noise
        keep("state", private._states["float64"])
        keep("tables", _tables(private, coefficients))
        keep("mean", heads.mean)
        keep("kept", heads.kept)
        keep("var", np.stack([var_N, var_D]))
        keep("value_center", blueprint.value_center or np.zeros(blueprint.dim_value))
        keep("key_center", blueprint.key_center or np.zeros(blueprint.dim_key))
        self.count, self.shrink = max(private.count, 1.0), shrink
        self.key_norm, self.value_norm = blueprint.key_norm, blueprint.value_norm
        self.noise_of_mean = heads.var_sum, heads.var_count
        self.dim_key, self.dim_value, self.heads = blueprint.dim_key, blueprint.dim_value, blueprint.heads
        self.guarantee = private.receipt.guarantee

    def extra_repr(self) -> str:
        """Return the guarantee, for printed models."""
        return f"{self.heads} heads, {self.dim_key} -> {self.dim_value}; {self.guarantee}"

    def _each_head(self, query: Any, scale: float | None, gqa: bool, answer: Any) -> Any:
        shape = query.shape
        if query.ndim != 4 or shape[3] != self.dim_key:
            raise InvalidParameter("query", f"shape {tuple(shape)}", f"(batch, heads, length, {self.dim_key})")
        if self.heads not in (1, shape[1]) and not (gqa and shape[1] % self.heads == 0):
            remedy = "pass enable_gqa=True if several query heads share one memory" if not gqa else ""
            raise InvalidParameter("query", f"{shape[1]} heads", f"{self.heads}, or a multiple of it", remedy)
        scale = 1 / math.sqrt(self.dim_key) if scale is None else float(scale)
        if not 0 < scale < math.inf:
            raise InvalidParameter("scale", repr(scale), "a positive number")
        found = []
        for h in range(shape[1]):
            rows = query[:, h].reshape(-1, self.dim_key).to(self.state.dtype)
            memory = h * self.heads // shape[1]
            parts = [answer(memory, *self._sums(memory, part, scale)) for part in rows.split(_CHUNK)]
            found.append(torch.cat(parts).reshape(shape[0], shape[2], -1))
        return torch.stack(found, dim=1).to(query.dtype)

    def _sums(self, h: int, rows: Any, scale: float) -> tuple[Any, ...]:
        """Return numerators, denominators, coefficients, floors and log-scales of one head's queries."""
        length = rows.norm(dim=1)
        unit = rows / length.clamp_min(1e-30)[:, None]
        found = _along(length * (self.key_norm * scale), self.tables[h])
        A, low, log_scale = found[:, :-2], found[:, -2].detach(), found[:, -1]
        both = _monomials(unit, A) @ self.state[h]
        log_scale = log_scale + scale * (rows @ self.key_center)
        return both[:, :-1], both[:, -1], A, low, log_scale

    def _output(self, h: int, N: Any, D: Any, A: Any, low: Any, _: Any) -> Any:
        floor = self.count * low.clamp_min(FLOOR)
        safe = torch.maximum(D, floor)
        out = N / safe[:, None]
        if self.shrink:
            mean, kept, ratio = self.mean[h], self.kept[h], D / self.count
            out = mean + (N - D[:, None] * mean) * (self._factor(N, D, A, mean, kept, ratio) / safe)[:, None]
            out = out / out.norm(dim=1, keepdim=True).clamp_min(1)
        return out * self.value_norm + self.value_center

    def _factor(self, N: Any, D: Any, A: Any, mean: Any, kept: Any, ratio: Any) -> Any:
        """Return the James-Stein factors."""
        dv, (var_sum, var_count) = self.dim_value, self.noise_of_mean
        if dv < 3:
            return torch.ones_like(D)
        var_N, var_D = A**2 @ self.var[0], A**2 @ self.var[1]
        var_N = var_N - 2 * kept * ratio * A[:, 0] * var_sum + (kept * ratio) ** 2 * var_sum
        var_D = var_D - 2 * ratio * A[:, 0] * var_count + ratio**2 * var_count
        variance = (var_N + (mean @ mean) / dv * var_D).clamp_min(0)
        energy = ((N - D[:, None] * mean) ** 2).sum(dim=1).clamp_min(1e-30)
        return (1 - (dv - 2) * variance / energy).clamp_min(0)

    def forward(
        self,
        query: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        """Return attention outputs (B, H, S, Ev) of queries (B, H, S, E); `scale` defaults to ``E**-0.5``.

        Masks, causality and dropout are refused: the records were summed.
        """
        _refuse(attn_mask, dropout_p, is_causal)
        return self._each_head(query, scale, enable_gqa, self._output)

    def numerator_denominator(
        self, query: Any, scale: float | None = None, enable_gqa: bool = False
    ) -> tuple[Any, Any, Any]:
        """Return (B, H, S, Ev), (B, H, S), (B, H, S): times ``exp(log_scale)``, sums over the private records."""

        def answer(h: int, N: Any, D: Any, A: Any, low: Any, log_scale: Any) -> Any:
            D = torch.maximum(D, self.count * low.clamp_min(FLOOR))
            N = N * self.value_norm + D[:, None] * self.value_center
            return torch.cat([N, D[:, None], log_scale[:, None]], dim=1)

        both = self._each_head(query, scale, enable_gqa, answer)
        return both[..., :-2], both[..., -2], both[..., -1]

    def attend(self, query: Any, key: Any, value: Any, scale: float | None = None) -> Any:
        """Return attention over local tokens (B, H, L, E), (B, H, L, Ev) and the private memory together."""
        N, D, log_scale = self.numerator_denominator(query, scale)
        scores = query @ key.transpose(-1, -2) * (1 / math.sqrt(self.dim_key) if scale is None else scale)
        top = torch.maximum(scores.amax(dim=-1), log_scale)
        local, memory = (scores - top[..., None]).exp(), (log_scale - top).exp()
        numerator = local @ value + memory[..., None] * N
        return numerator / (local.sum(dim=-1) + memory * D)[..., None]
