"""What can be reached from a release: no record, no un-noised sum, nothing that a twin without data does not hold."""

from __future__ import annotations

import gc
import types
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Plan, Rows, Structure, Summary, Sums, blueprint
from dpstruct.core.state import Unreadable
from dpstruct.testing.lifecycle import Answers, budget_for
from dpstruct.testing.pairs import Unit, join
from dpstruct.testing.sources import Floats, Integers, ZeroNoise
from dpstruct.testing.statistics import follow
from dpstruct.testing.strategies import corners, domain_of
from dpstruct.testing.violation import Data, violation

__all__ = ["assert_sealed", "reachable"]

FAR = 1 << 40  # size of the noise, and a bound of the secrets looked for: no noised integer is one by chance
SKIPPED = (type, types.ModuleType, types.BuiltinFunctionType, types.CodeType, str, bytes, int, float, complex)


class _FarNoise(ZeroNoise):
    def draw(self, line: str, kind: str, scales: Floats, shape: tuple[int, ...]) -> Integers:
        return np.random.default_rng(len(line)).integers(FAR, 2 * FAR, shape)


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a node refers to; what the garbage collector does not know of, by hand."""
    if isinstance(node, np.ndarray):
        yield ".base", node.base
        if node.dtype.hasobject:
            yield from ((f"[{i}]", item) for i, item in enumerate(node.ravel().tolist()))
    elif isinstance(node, memoryview):
        yield ".obj", node.obj
    elif isinstance(node, types.FunctionType):
        cells = [cell.cell_contents for cell in node.__closure__ or () if cell != types.CellType()]
        yield from ((".__closure__", item) for item in cells)
        yield from ((".__defaults__", item) for item in (node.__defaults__, node.__kwdefaults__, vars(node)))
    elif isinstance(node, types.FrameType):
        yield ".f_locals", dict(node.f_locals)
    elif isinstance(node, types.GeneratorType):
        yield ".gi_frame", node.gi_frame
    elif isinstance(node, types.TracebackType):
        yield ".tb_frame", node.tb_frame
        yield ".tb_next", node.tb_next
    elif isinstance(node, weakref.ref):
        yield "()", node()
    elif isinstance(node, dict):
        for key, value in node.items():
            yield "{key}", key
            yield f"[{str(key)[:40]!r}]", value
    elif not isinstance(node, SKIPPED):
        named = getattr(node, "__dict__", None)
        if isinstance(named, dict):
            yield from ((f".{key}", value) for key, value in named.items())
        if isinstance(node, BaseException):
            yield ".__traceback__", node.__traceback__
        yield from (("~", item) for item in gc.get_referents(node) if item is not named)


def _own_classes(structure: Structure[Any]) -> dict[str, Any]:
    """Return what the classes of a blueprint and its release keep, but those of the life-cycle and of Python."""
    kept = {}
    for cls in {*type(structure).__mro__, *structure.release_type.__mro__}:
        if not cls.__module__.startswith(("dpstruct.core", "builtins", "typing")):
            kept.update({f"{cls.__name__}.{k}": v for k, v in vars(cls).items() if not k.startswith("__")})
    return kept


def reachable(*roots: Any) -> Iterator[tuple[str, Any]]:
    """Yield every object in reach of some others with the way to it, breadth first."""
    queue = [("release", root) for root in roots]
    seen: dict[int, Any] = {}
    for way, node in queue:  # grows while it is read
        if id(node) in seen or node is None:
            continue
        seen[id(node)] = node
        yield way, node
        if isinstance(node, type | types.ModuleType):
            continue
        queue += [
            (way + step, child) for step, child in _children(node) if not isinstance(child, types.ModuleType | type)
        ]


def _sentinels(plan: Plan[Any], data: Data) -> Data:
    """Return records of random bits inside the domain, or the test data where the domain is not known."""
    domain = domain_of(plan.structure)
    if domain is None:
        return data
    ends = np.array(corners(domain))
    middle, reach = ends.mean(axis=0), ends.max(axis=0) - ends.min(axis=0)
    random = np.random.default_rng(11).uniform(-0.28, 0.28, (41, len(middle)))
    units: list[Unit] = [(row[None, :],) for row in middle + random / len(middle) ** 0.5 * reach]
    return join(plan.structure, units, plan.unit)


def _odd(values: NDArray[Any]) -> list[float]:
    """Return the values that are too odd to turn up by chance: many digits, or large but below the noise."""
    flat = np.asarray(values).ravel()
    if flat.dtype.kind not in "biuf":  # text: labels of public classes
        return []
    flat = flat[np.isfinite(flat)]
    if flat.dtype.kind == "f":
        mantissa = np.frexp(flat)[0] * 2.0**24
        kept = flat[mantissa != np.trunc(mantissa)]
    else:
        kept = flat[(np.abs(flat) >= 1 << 16) & (np.abs(flat) < FAR // 2)]
    return [float(v) for v in kept[np.argsort(-np.abs(kept))][:256]]


def _found(node: Any, secrets: Floats, texts: list[bytes], held: list[NDArray[Any]]) -> str | None:
    """Return what is wrong with a reachable object."""
    if isinstance(node, Unreadable | types.GeneratorType | types.FrameType):
        return f"a {type(node).__name__}"
    if isinstance(node, np.ndarray):
        if any(np.shares_memory(node, array) for array in held if array.size and node.size):
            return "memory of the data"
        if node.dtype.kind in "iufc" and np.isin(node, secrets).any():
            return "values of the data or of their exact sums"
        return "bytes of a record" if not node.dtype.hasobject and _has(node.tobytes(), texts) else None
    if isinstance(node, int | float | np.number) and not isinstance(node, bool) and float(node) in secrets:
        return "a value of the data or of their exact sums"
    return "bytes of a record" if isinstance(node, bytes | bytearray) and _has(bytes(node), texts) else None


def _has(content: bytes, texts: list[bytes]) -> bool:
    return any(text in content for text in texts)


def _content(*roots: Any) -> dict[Any, str]:
    """Return the plain values in reach and the ways to them."""
    values: dict[Any, str] = {}
    for way, node in reachable(*roots):
        if isinstance(node, np.ndarray) and not node.dtype.hasobject:
            values.setdefault((str(node.dtype), node.shape, node.tobytes()), way)
        elif isinstance(node, int | float | complex | str | bytes):
            values.setdefault((type(node).__name__, repr(node)), way)
    return values


def assert_sealed(plan: Plan[Any], data: Data, answers: Answers) -> None:
    """Check that a release, its structure and their classes keep nothing of the data, also after it was queried.

    A walk over all references looks for memory, values and bytes of records and exact sums, in any number type; what it
    finds must also be what a twin holds that is built by a fresh blueprint that never saw data.

    Raises
    ------
    PrivacyViolation
        With the way from the release to what it should not hold.
    """
    data = _sentinels(plan, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the noise is absurd on purpose
        label, cls = blueprint.encode(plan.structure), type(plan.structure)
        fresh: Any = blueprint.decode(label, cls)
        plan = replace(plan, structure=blueprint.decode(label, cls))  # one that sees data first: caches fill once
        answers(_release(plan, fresh.summarize(*join(fresh, [], plan.unit))))  # fills the honest caches
        classes = _own_classes(fresh)
        before = _content(classes)
        summary = plan.structure.summarize(*data)
        release = _release(plan, summary)
        answers(release)
        classes = _own_classes(plan.structure)
        _search(plan, data, summary, release, classes)
        after = _content(release, classes)
        twin = type(release)(fresh, dict(release.transcript), release.receipt)
        answers(twin)
    known = _content(twin, fresh) | before
    for value, way in after.items():
        if value not in known:
            raise violation(plan, "a release holds what a twin that never saw data does not", f"way: {way}")


def _release(plan: Plan[Any], summary: Summary[Any]) -> Any:
    with _FarNoise():
        return budget_for(plan).release(summary, cost=plan.cost)


def _search(plan: Plan[Any], data: Data, summary: Summary[Any], release: Any, classes: dict[str, Any]) -> None:
    """Look for memory, values and bytes of records and exact sums."""
    state = summary._open()
    held = list(state.sums._open().values()) if isinstance(state, Sums) else []
    held += list(state._open()) if isinstance(state, Rows) else []
    exact = [array for name, array in follow(plan, summary, release.transcript)[0].items() if name != "n"]
    public = {float(v) for _, v in reachable(plan.events) if isinstance(v, int | float)}
    odd = [_odd(array) for array in (*data, *held, *exact)]
    secrets = np.array(sorted({v for values in odd for v in values} - public))
    texts = [np.float64(v).tobytes() for values in odd[: len(data)] for v in values[:64]]
    for way, node in reachable(release, classes):
        wrong = _found(node, secrets, texts, [*data, *held])
        if wrong:
            raise violation(plan, f"a release holds {wrong}", f"way: {way}")
