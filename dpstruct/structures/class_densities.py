"""`ClassDensities`: one kernel density per public class, all for the price of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Group, Plan, Release, Structure, Summary, Sums
from dpstruct.core.plan import Scales
from dpstruct.domain import check_rows
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.privacy.events import Event
from dpstruct.structures._ntk_targets import check_targets, encode, normalised
from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["ClassDensities", "PrivateClassDensities"]

Floats = NDArray[np.float64]
ONE_ROUND = ("features", "fourier", "mercer", "binned")


@dataclass(frozen=True)
class _Part(Scales):
    """The noise of one class, under the names that its density knows."""

    events: tuple[Event, ...]

    @classmethod
    def of(cls, noise: Scales, k: int) -> _Part:
        """Return the lines of class k."""
        prefix, events = f"class{k}_", []
        for event in noise.events:
            mine = [line for line in event.lines if line.name.startswith(prefix)]
            renamed = tuple(line._replace(name=line.name.removeprefix(prefix)) for line in mine)
            events.append(replace(event, lines=renamed))
        return cls(tuple(events))


class PrivateClassDensities(Release):
    """Answers how similar any point is to the records of each class, for ever, from one release.

    Made by `Budget.release` or `dpstruct.load`.
    """

    @property
    def structure(self) -> ClassDensities:
        """The public blueprint."""
        blueprint: ClassDensities = self.__dict__["_structure"]
        return blueprint

    @cached_property
    def classes(self) -> NDArray[Any]:
        """The public labels, in the order of the columns of `query`."""
        return np.array(self.structure.classes)

    @cached_property
    def counts(self) -> Floats:
        """Noisy number of records of each class, shape (c,)."""
        method = self.structure.density._method
        return np.array([method.count(transcript) for transcript, _ in self._parts])

    @cached_property
    def _parts(self) -> list[tuple[dict[str, NDArray[np.int64]], _Part]]:
        found = []
        for k in range(len(self.structure.classes)):
            prefix = f"class{k}_"
            mine = {n.removeprefix(prefix): a for n, a in self.transcript.items() if n.startswith(prefix)}
            found.append((mine, _Part.of(self.receipt, k)))
        return found

    def _row_count(self) -> tuple[float, float]:
        if "n" in self.transcript:
            return float(self.transcript["n"]), 0.0
        method = self.structure.density._method
        return float(self.counts.sum()), 6 * float(np.sqrt(sum(method.count_variance(s) for _, s in self._parts)))

    def query(self, Y: ArrayLike) -> Floats:
        """Return the kernel sum of each class at each query, shape (q, c); a row with a NaN gets NaN."""
        rows = check_rows("Y", Y, self.structure.density.dim).astype(np.float64)
        self._warn_of_capacity()
        density = self.structure.density
        h = density.bandwidths[0]
        return np.stack([density._method.answers(t, s, rows, h) for t, s in self._parts], axis=1)

    def error(self, Y: ArrayLike) -> Floats:
        """Return the standard error of the noise of each answer of `query`, shape (q, c), from public values."""
        rows = check_rows("Y", Y, self.structure.density.dim).astype(np.float64)
        density = self.structure.density
        h = density.bandwidths[0]
        return np.sqrt(np.stack([density._method.variance(s, rows, h) for _, s in self._parts], axis=1))

    def predict(self, Y: ArrayLike) -> NDArray[Any]:
        """Return the class with the largest kernel sum at each query, shape (q,): Bayes' rule for these densities."""
        labels: NDArray[Any] = self.classes[np.nan_to_num(self.query(Y)).argmax(axis=1)]
        return labels


@dataclass(frozen=True)
class ClassDensities(Structure[PrivateClassDensities]):
    """Kernel sums per public class at the price and with the error of a single `KernelDensity`.

    A record belongs to one class and changes the sums of that class alone, so all classes share one charge.

    Parameters
    ----------
    density : KernelDensity
        The blueprint of every class; one round (a Mercer law must be public).
    classes : sequence
        The public labels, all text or all numbers, at least two. A record with another label contributes nothing.

    Notes
    -----
    Neighbours: add-remove, with the sensitivity of `density`; substitute and `RowsWithin`, charged as one record less
    and one more: four times the squared l2 bound, twice the l1 bound, since both may be in one class. The numbers of
    records per class are private under either. Source: class-wise similarity (Backurs et al., arXiv 2403.08917).

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> from dpstruct.structures import ClassDensities
    >>> density = dps.KernelDensity(bandwidth=0.2, bounds=dps.Box(0, 1, dim=1))
    >>> both = ClassDensities(density, classes=["low", "high"])
    >>> X, y = np.linspace(0, 1, 2000)[:, None], np.repeat(["low", "high"], 1000)
    >>> private = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove").release(both.summarize(X, y), share=1)
    >>> private.predict([[0.1], [0.9]]).tolist()
    ['low', 'high']
    """

    density: KernelDensity
    classes: tuple[Any, ...]

    release_type: ClassVar[type[Any]] = PrivateClassDensities

    def __init__(self, density: KernelDensity, classes: Sequence[Any]) -> None:
        if not isinstance(density, KernelDensity):
            raise InvalidType("density", f"a {type(density).__name__}", "a KernelDensity")
        if density.method not in ONE_ROUND or (density.method == "mercer" and density.location is None):
            expected = " or ".join(ONE_ROUND) + "; mercer with a public law"
            raise InvalidParameter("density", f"method {density.method!r}", expected, "pass method= to KernelDensity")
        labels = normalised(list(np.asarray(classes).tolist()))
        assert isinstance(labels, tuple)
        object.__setattr__(self, "density", density)
        object.__setattr__(self, "classes", labels[1:])

    @property
    def max_rows(self) -> int:  # type: ignore[override]
        """Capacity of each class."""
        return self.density.max_rows

    def summarize(self, X: ArrayLike, y: Any, *, device: str = "auto") -> Summary[PrivateClassDensities]:
        """Return the sealed exact sums of the records of `X`, shape (n, d), with labels `y`, shape (n,)."""
        labels = ("labels", *self.classes)
        codes = encode(check_targets("y", y, labels), labels)
        return super().summarize(X, codes, device=device)

    def seal(self, *data: NDArray[Any], device: str = "auto") -> Sums:
        """Return the sums of each class; `data` are the rows and the codes of their labels."""
        X, codes = data
        parts: dict[str, Sums] = {}
        for k in range(len(self.classes)):
            state = self.density.seal(X[codes == k], device=device)
            assert isinstance(state, Sums)
            parts[f"class{k}"] = state
        return Sums.join(len(X), parts)

    def no_rows(self) -> tuple[NDArray[Any], ...]:
        """Return arrays of no records and no labels."""
        return (*self.density.no_rows(), np.empty(0, np.array(self.classes).dtype))

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return the density's groups, each with the lines of every class under the bound of one record."""
        both = 1 if neighbors == "add-remove" else 4 if isinstance(cost, GDP) else 2
        found = []
        for group in self.density.groups(cost, "add-remove"):
            lines = [
                replace(line, name=f"class{k}_{line.name}") for k in range(len(self.classes)) for line in group.lines
            ]
            found.append(Group(lines, group.sensitivity * Fraction(both), group.share))
        return found

    def worst_error(self, plan: Plan[PrivateClassDensities]) -> float:
        """Return the largest standard error of one answer."""
        return float(np.sqrt(self.density._method.worst_variance(_Part.of(plan, 0))))

    def __repr__(self) -> str:
        return f"ClassDensities({self.density}, {len(self.classes)} classes)"
