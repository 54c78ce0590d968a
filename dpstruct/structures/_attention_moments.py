"""`PrivateCrossAttention`: the release of noised polynomial moments, and how a query becomes numbers of them."""

from __future__ import annotations

import math
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.structures import _attention_blueprint as public
from dpstruct.structures import _attention_coefficients as polynomials
from dpstruct.structures import _attention_price as price
from dpstruct.structures import _attention_spectrum as spectrum
from dpstruct.structures._attention_answers import Evaluated, PrivateMemory

if TYPE_CHECKING:
    from dpstruct.structures.cross_attention import CrossAttention

__all__ = ["PrivateCrossAttention"]

Floats = NDArray[np.float64]


class PrivateCrossAttention(PrivateMemory):
    """Answers softmax attention over private records, for any queries, temperatures and number of them.

    Made by `Budget.release` or `dpstruct.load`. Outputs approximate ``sum_j e_j v_j / sum_j e_j`` with
    ``e_j = exp(<q, k_j> / temperature)``: a polynomial stands for the exponential, and every answer has the noise of a
    few numbers, whatever the dimension. Only sums are in reach: no record can be looked up.
    """

    @property
    def structure(self) -> CrossAttention:
        """The public blueprint."""
        blueprint: CrossAttention = self.__dict__["_structure"]
        return blueprint

    @cached_property
    def count(self) -> float:
        """Number of records (units, under a unit rule): exact where it is public, else the released noisy count.

        Under the rule "max_rows" it counts rows, under "clip" their bounded weight.
        """
        if "D0" in self.transcript:
            return float(self.transcript["D0"].astype(np.float64).mean()) / self.structure._unit
        return float(self.transcript["n"])

    @cached_property
    def count_error(self) -> float:
        """Standard error of `count`; 0 where it is public."""
        return math.sqrt(self._noise[1][0] / self.structure.heads)

    def _row_count(self) -> tuple[float, float]:
        return self.count, 6 * self.count_error

    @cached_property
    def _noise(self) -> tuple[Floats, Floats]:
        return price.variances(self.structure, self.receipt)

    def _sum_of_values(self) -> tuple[Floats, float, float]:
        total = self.transcript["N0"][:, 0, :] / self.structure._unit
        return total, self._noise[0][0], self._noise[1][0] / self.structure.heads

    @cached_property
    def _states(self) -> dict[str, NDArray[Any]]:
        """Per precision the moments as (heads, m, dv + 1): numerators and denominators, ready for one product."""
        degrees, sums = range(self.structure.degree + 1), self.transcript
        N = np.concatenate([sums[f"N{p}"] for p in degrees], axis=1) / self.structure._unit
        if "D0" in sums:
            D0 = sums["D0"] / self.structure._unit
        else:
            D0 = np.full((self.structure.heads, 1), self.count)
        D = np.concatenate([D0, *(sums[f"D{p}"] / self.structure._unit for p in degrees[1:])], axis=1)
        both = np.concatenate([N, D[:, :, None]], axis=2) * self.structure._query_factors[:, None]
        return {"float64": both, "float32": both.astype(np.float32)}

    @cached_property
    def _prior(self) -> list[Floats]:
        """Per head, over the grid of thetas: coefficients, least value, log of what unit mass stands for.

        The prior's spheres and fields learn from the noisy moments themselves, which is post-processing.
        """
        var_N, var_D = self._noise
        dv, degree, count = self.structure.dim_value, self.structure.degree, max(self.count, 1.0)
        noise, cuts, tables = (dv * var_N + var_D) / count**2, np.cumsum(self.structure._sizes)[:-1], []
        for state in self._states["float64"] / self.structure._query_factors[:, None]:
            N, D = np.split(state[:, :dv], cuts), np.split(state[:, dv], cuts)
            size = spectrum.dimension(D[2], count, var_D[2]) if degree >= 2 else None
            fields = () if size is None else spectrum.variances(N, D, count, var_N, size)
            tables.append(polynomials.prior_table(degree, count, noise, size, fields))
        return tables

    def _coefficients(self, head: int, theta: Floats, given: Any) -> tuple[Floats, Floats, Floats]:
        """Return coefficients of unit mass, their least values, and log-scales."""
        kind = self.structure.coefficients if given is None else public.coefficients(given, self.structure.degree)
        if isinstance(kind, str) and kind == "prior":
            table = polynomials.along(theta, self._prior[head])
            return table[:, :-2], table[:, -2], table[:, -1]
        family = polynomials.Family(self.structure.degree, self.count)
        if isinstance(kind, str):
            A = polynomials.taylor(theta, self.structure.degree)
            mass = A @ family.mass
            A = A / mass[:, None]
            return A, polynomials.lowest(A), np.log(mass)
        a = np.array(kind) / (np.array(kind) @ family.mass)
        A = np.broadcast_to(a, (len(theta), len(a)))
        low = np.broadcast_to(polynomials.lowest(a), len(theta))
        return A, low, polynomials.log_means(theta, self.structure.degree)

    def _evaluate(self, head: int, Q: NDArray[Any], temperature: Floats, coefficients: Any) -> Evaluated:
        from dpstruct.kernels.cross_attention import attend

        blueprint, dv = self.structure, self.structure.dim_value
        unit, length = public.directions(Q)
        theta = length * blueprint.key_norm / temperature
        if (theta * min(blueprint.temperatures) > 2).any():
            warnings.warn(
                "some weights are sharper than half the smallest of the planned temperatures "
                f"{blueprint.temperatures}: their outputs are hardly better than the mean of the values",
                stacklevel=4,
            )
        A, low, log_scale = self._coefficients(head, theta, coefficients)
        state = self._states[Q.dtype.name][head]
        if blueprint.features == "exact":
            both, squares = attend(unit, A, state, blueprint.degree), A**2
        else:
            both, norms = blueprint._hashes.attend(unit, A, state)
            squares = (A * norms) ** 2
        var_N, var_D = self._noise
        if blueprint.key_center is not None:
            log_scale = log_scale + Q.astype(np.float64) @ np.array(blueprint.key_center) / temperature
        return Evaluated(
            both[:, :dv],
            both[:, dv].astype(np.float64),
            squares @ var_N,
            squares @ var_D,
            A[:, 0] * var_N[0],
            A[:, 0] * var_D[0] / blueprint.heads,
            low,
            log_scale,
        )
