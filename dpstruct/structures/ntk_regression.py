"""`NTKRegression`: private regression and classification, linear in the features of a neural tangent kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Plan, Rounds, Rows, Structure, Summary, Sums
from dpstruct.domain import Ball, Box, check_rows
from dpstruct.errors import InvalidParameter
from dpstruct.features.ntk import zonal_map
from dpstruct.features.sphere import Sphere, sphere_dim, to_sphere
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures import _ntk_moments as moments
from dpstruct.structures._ntk_descent import Course, advance, held
from dpstruct.structures._ntk_options import check_device, checked
from dpstruct.structures._ntk_release import PrivateRegressor
from dpstruct.structures._ntk_targets import check_targets, classes, encode, one_hot

__all__ = ["NTKRegression", "PrivateRegressor"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NTKRegression(Structure[PrivateRegressor]):
    """A private model linear in public features whose inner product is the neural tangent kernel of a ReLU network.

    The fit is released once; it answers any number of predictions and never touches the records again.

    Parameters
    ----------
    bounds : Box or Ball
        Public domain of the inputs, with its dimension.
    target : list of labels, or (low, high)
        Public: all classes (text or numbers), or the interval to which targets are clipped. An unknown label teaches
        nothing, and a target that is not finite becomes the middle.
    expected_rows : int
        Public guess of the number of records; sets defaults and predicted errors, never a noise scale.
    depth : int
        Hidden layers of the network.
    n_features : int, optional
        Number of features m, more than ``1 + d``. Default: 512, or twice that.
    features : {"ntk", "linear"}
        The kernel's features, or the point on the sphere itself, for rows that are features already.
    sphere : {"project", "lift"}, optional
        How rows come to the unit sphere: divided by their length (default for labels), or lifted (default for an
        interval: keeps the length). See `dpstruct.features.sphere.to_sphere`.
    solver : {"moments", "descent"}, optional
        ``"moments"`` (default for an interval): one pass, merges sums only, also under pure DP; a ridge fit.
        ``"descent"`` (default for labels): noised centring, whitening and gradient steps; needs delta > 0 and holds the
        lattice rows until the release.
    loss : {"softmax", "squared"}, optional
        Of the descent; softmax (the default) for labels only.
    steps : int
        Of the descent.
    clip : float, optional
        Length to which a record's residual is clipped; 0.15 (softmax), 0.5 (squared; targets are scaled to [-1, 1]).
    prediction_noise : float, optional
        Standard deviation of a score by the noise of all steps that the step size is chosen for; 1.5 or 0.25.
    center, whiten : bool, optional
        The stages before the descent; by default centring, and whitening from 5,000 expected rows on.
    intercept : bool
        Append a constant to the features of a descent.
    seed : int
        Public seed of the features' random directions.
    max_rows : int
        Public capacity; sums beyond it may wrap modulo 2**64, which stays private but is useless.

    Notes
    -----
    Neighbours: add-remove, substitute; `RowsWithin` is charged as substitute. Sensitivities and their proofs:
    ``dpstruct.structures._ntk_moments`` and ``_ntk_descent``, attacked by
    ``tests/structures/test_ntk_regression_privacy.py``. Error: `PrivateRegressor.error`. The features:
    `dpstruct.features.ntk` (arXiv 1806.07572, 2202.03474); the one-shot fit follows AdaSSP (arXiv 1803.02596).

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> x = np.linspace(-1, 1, 4000)[:, None]
    >>> model = dps.NTKRegression(dps.Box(-1, 1, dim=1), target=(-1, 1), expected_rows=4000, n_features=32)
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> private = budget.release(model.summarize(x, np.sin(3 * x[:, 0])), share=1)
    >>> private.predict([[0.5]]).shape, bool(abs(private.predict([[0.5]])[0] - np.sin(1.5)) < 0.5)
    ((1,), True)
    """

    bounds: Box | Ball
    target: Any
    expected_rows: int
    depth: int
    n_features: int
    features: str
    sphere: Sphere
    solver: str
    loss: str
    steps: int
    clip: float
    prediction_noise: float
    center: bool
    whiten: bool
    intercept: bool
    seed: int
    max_rows: int

    release_type: ClassVar[type[Any]] = PrivateRegressor

    def __init__(
        self,
        bounds: Box | Ball,
        *,
        target: Any,
        expected_rows: int,
        depth: int = 1,
        n_features: int | None = None,
        features: Literal["ntk", "linear"] = "ntk",
        sphere: Sphere | None = None,
        solver: Literal["moments", "descent"] | None = None,
        loss: Literal["softmax", "squared"] | None = None,
        steps: int = 100,
        clip: float | None = None,
        prediction_noise: float | None = None,
        center: bool | None = None,
        whiten: bool | None = None,
        intercept: bool | None = None,
        seed: int = 0,
        max_rows: int = 1 << 32,
    ) -> None:
        values = checked(
            bounds,
            target,
            expected_rows=expected_rows,
            depth=depth,
            n_features=n_features,
            features=features,
            sphere=sphere,
            solver=solver,
            loss=loss,
            steps=steps,
            clip=clip,
            prediction_noise=prediction_noise,
            center=center,
            whiten=whiten,
            intercept=intercept,
            seed=seed,
            max_rows=max_rows,
        )
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Number of coordinates of a record."""
        assert self.bounds.dim is not None
        return self.bounds.dim

    @property
    def _outputs(self) -> int:
        return 1 if isinstance(self.target, Box) else len(self.target) - 1

    @cached_property
    def _map(self) -> dict[str, NDArray[Any]]:
        """The public arrays of the feature map."""
        if self.features == "linear":
            return {"linear": np.array(1)}
        return zonal_map(sphere_dim(self.dim, self.sphere), self.depth, self.n_features, self.seed)

    @cached_property
    def _course(self) -> Course:
        kind = 0 if isinstance(self.target, Box) else 1 if self.loss == "softmax" else 2
        return Course(
            self._map,
            self.n_features,
            self._outputs,
            kind,
            self.steps,
            self.clip,
            self.prediction_noise,
            self.center,
            self.whiten,
            self.intercept,
            self.expected_rows,
        )

    @cached_property
    def _target_rows(self) -> NDArray[np.int64] | None:
        return None if isinstance(self.target, Box) else one_hot(self.target[1:])

    def _lattice_features(self, points: NDArray[np.int16]) -> Floats:
        store = np.zeros((len(points), -(-self.n_features // 4)))
        advance(points, {**self._map, "size": np.array(self.n_features)}, store)
        return held(store, self.n_features).astype(np.float64)

    # ---- the life-cycle --------------------------------------------------------------------------------------------

    def summarize(self, X: Any, y: Any, *, device: str = "auto") -> Summary[PrivateRegressor]:
        """Return the sealed summary of some records.

        Parameters
        ----------
        X : array-like, shape (n, d)
            Inputs in the units of the bounds; any real dtype.
        y : array-like, shape (n,)
            Targets in their own units, or labels of the type that `target` lists.
        device : {"auto", "cpu"}
            Where to compute.
        """
        rows, targets = check_rows("X", X, self.dim), check_targets("y", y, self.target)
        if len(rows) != len(targets):
            raise InvalidParameter("X, y", "arrays of different lengths", "one target per row")
        return Summary(self, self.seal(rows, targets, device=device))

    def seal(self, *data: NDArray[Any], device: str = "auto") -> Sums | Rows:
        """Return the exact sums (moments), or one int16 row per record: its point and its target."""
        check_device(device)
        X, codes = data[0], encode(data[1], self.target)
        if self.solver == "descent":
            points = to_sphere(X, self.bounds, self.sphere)
            rows = np.concatenate([points, codes[:, None]], axis=1)
            rows.setflags(write=False)
            return Rows(len(X), rows)
        block = max(1 << 8, (1 << 21) // self.n_features)
        total: dict[str, NDArray[np.int64]] = {}
        for start in range(0, max(1, len(X)), block):
            part = slice(start, start + block)
            features = self._lattice_features(to_sphere(X[part], self.bounds, self.sphere))
            table = self._target_rows
            found = moments.sums(features, codes[part, None] if table is None else table[codes[part]])
            total = {name: array + total[name] for name, array in found.items()} if total else found
        return Sums(len(X), total)

    def no_rows(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return inputs and targets of no records."""
        labels = classes(self.target)
        return np.empty((0, self.dim)), np.empty(0, np.float64 if labels is None else labels.dtype)

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return the lines of the solver with their joint sensitivities."""
        if self.solver == "moments":
            return moments.groups(self.n_features, self._target_rows, self._outputs, cost, neighbors)
        if not isinstance(cost, GDP):
            raise InvalidParameter("delta", "0", "delta > 0", 'pass solver="moments" for pure DP')
        return self._course.groups(cost, neighbors)

    def plan(self, **options: Any) -> Plan[PrivateRegressor]:
        """Return price, noise scales and predicted error of a release; see `Structure.plan`.

        Raises
        ------
        InvalidParameter
            For a descent planned by ``error=``: its step size, not its price, decides the noise of a score.
        """
        if options.get("error") is not None and self.solver == "descent":
            raise InvalidParameter("error", repr(options["error"]), "a price", "state epsilon and delta, or cost")
        return super().plan(**options)

    def rounds(self, plan: Plan[PrivateRegressor], state: Any) -> Rounds:
        """Yield the sums, or run the descent."""
        if self.solver == "moments":
            yield state.sums
        else:
            yield from self._course.rounds(plan, plan.neighbors, state)

    def worst_error(self, plan: Plan[PrivateRegressor]) -> float:
        """Return the standard deviation of a prediction by the noise at `expected_rows`, in the units of `query`.

        Moments: for records spread evenly over the features; descent: as `PrivateRegressor.error`.
        """
        if self.solver == "moments":
            found = moments.expected_error(self.n_features, self.expected_rows, plan)
        else:
            found = self._course.rate(float(self.expected_rows), plan)[1]
        return found if not isinstance(self.target, Box) else found * 0.5 * (self.target.high[0] - self.target.low[0])

    def __repr__(self) -> str:
        what = f"{self.target.low[0]:g} to {self.target.high[0]:g}" if isinstance(self.target, Box) else None
        what = what or f"{self._outputs} classes"
        kind = "linear" if self.features == "linear" else f"depth {self.depth}"
        size = f"{self.n_features} features"
        return f"NTKRegression({type(self.bounds).__name__}(dim={self.dim}), {what}, {kind}, {size}, {self.solver})"
