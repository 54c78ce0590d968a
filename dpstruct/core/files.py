"""The ``.dps`` file: valid safetensors whose metadata hold a canonical JSON privacy label.

Format version 1: one int64 tensor per transcript line, and one metadata entry ``dpstruct`` with ``format``,
``structure`` (blueprint name and public parameters), ``receipt`` and ``sha256`` over the label and every tensor.
Nothing in a file is code, and no file makes Python import anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import blueprint
from dpstruct.core.plan import MAX_SCALE, make_plan
from dpstruct.core.receipt import Receipt
from dpstruct.errors import DPStructError, FileFormatError, InvalidType, PlanViolation
from dpstruct.privacy import GDP, PureDP

if TYPE_CHECKING:
    from dpstruct.core.release import Release
    from dpstruct.core.structure import Structure

__all__ = ["decode", "encode", "inspect", "load", "save", "split", "verify"]

FORMAT = 1
R = TypeVar("R", bound="Release")
_MAX_HEADER = 1 << 26


def _hash(label: Mapping[str, object], tensors: Mapping[str, NDArray[np.int64]]) -> str:
    digest = hashlib.sha256(blueprint.canonical(label))
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name], dtype="<i8")
        digest.update(blueprint.canonical([name, list(tensors[name].shape)]))
        digest.update(array.tobytes())
    return digest.hexdigest()


def encode(structure: Structure[Any], transcript: Mapping[str, NDArray[np.int64]], receipt: Receipt) -> bytes:
    """Return the bytes of the ``.dps`` file of a release; the same release gives the same bytes."""
    from safetensors.numpy import save as to_bytes

    if receipt.noise == "injected":
        raise PlanViolation("the noise of this release was injected by a test: it protects nothing and is not saved")
    tensors = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in sorted(transcript.items())}
    label: dict[str, object] = {
        "format": FORMAT,
        "structure": blueprint.encode(structure),
        "receipt": receipt.to_json(),
    }
    label["sha256"] = _hash(label, tensors)
    return bytes(to_bytes(tensors, metadata={"dpstruct": blueprint.canonical(label).decode()}))


def split(data: bytes, allowed: Sequence[str] = ("I64",)) -> tuple[dict[str, str], dict[str, NDArray[np.int64]]]:
    """Return metadata and tensors of safetensors bytes, or raise `FileFormatError`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_MAX_HEADER, len(data) - 8):
        raise FileFormatError("not a safetensors file: its header is missing or too long")
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise FileFormatError("the safetensors metadata are malformed")
        if any(entry.get("dtype") not in allowed for name, entry in header.items() if name != "__metadata__"):
            raise FileFormatError(f"a tensor is not of type {' or '.join(allowed)}")
        return metadata, from_bytes(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"not a valid safetensors file: {type(error).__name__}") from error


def _label(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = metadata["dpstruct"]
        label = json.loads(text)
        version, canonical = label["format"], blueprint.canonical(label).decode() == text
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FileFormatError("the file has no dpstruct privacy label") from error
    if type(version) is not int or version != FORMAT:
        raise FileFormatError(
            f"the file has format version {str(version)[:20]}, this library reads {FORMAT}; upgrade it"
        )
    if not canonical:
        raise FileFormatError("the label is not canonical JSON: a key twice, or written by another program")
    if set(label) != {"format", "structure", "receipt", "sha256"}:
        raise FileFormatError("the label does not have the fields of format version 1")
    return dict(label)


def decode(data: bytes, structure: Structure[R] | None = None) -> R:
    """Rebuild a release from the bytes of a ``.dps`` file; see `load`."""
    metadata, tensors = split(data)
    label = _label(metadata)
    stated = label.pop("sha256")
    if _hash(label, tensors) != stated:
        raise FileFormatError("the hash in the label does not match the content: the file was damaged or changed")
    receipt = Receipt.from_json(label["receipt"])
    if sum(event.price() for event in receipt.events) > receipt.cost.units:
        raise FileFormatError("the noise scales on the receipt are too small for the cost that it states")
    if structure is not None and blueprint.encode(structure) == label["structure"]:
        built = structure  # also gives back functions, which no file carries
    else:
        built = blueprint.decode(label["structure"], None if structure is None else type(structure))
    if structure is not None and built != structure:
        raise FileFormatError(f"the file holds a release of {built}, not of the structure that was passed")
    if receipt.structure != type(built).__name__:
        raise FileFormatError("the receipt is that of another blueprint")
    try:
        groups = built.groups(receipt.cost, receipt.neighbors)
        due = {line.name: line.shape for group in groups for line in group.lines}
        if {name: line.shape for name, (_, line) in receipt.lines.items()} != due:
            raise FileFormatError("its lines are not those of the blueprint")
        if not all(1 / MAX_SCALE <= scale <= MAX_SCALE for _, line in receipt.lines.values() for scale in line.scales):
            raise FileFormatError("its noise scales are those of no plan")
        if receipt.unit != "row" and not built.bounds_units:
            raise FileFormatError(f"it states a unit that {type(built).__name__} does not bound")
        release: R = built.release_type(built, tensors, receipt)
    except (DPStructError, ValueError, KeyError, TypeError, IndexError) as error:
        raise FileFormatError(f"the transcript does not fit the blueprint: {error}") from error
    return release


def save(release: Release, path: str | os.PathLike[str]) -> None:
    """Write a release to `path`, whole or not at all."""
    data = encode(release.structure, release.transcript, release.receipt)
    target = Path(path)
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str], *, structure: Structure[Any] | None = None) -> Any:
    """Return the release that `Release.save` wrote: bitwise the same answers, no charge.

    Parameters
    ----------
    path : str or path
        A ``.dps`` file.
    structure : Structure, optional
        The blueprint, where it can not be found by name among the imported ones, or holds a function.

    Returns
    -------
    Release
        Of the class that the blueprint names.

    Raises
    ------
    FileFormatError
        If the file is damaged, hostile, of another version, or of a blueprint that is not imported. A file is data:
        nothing in it is executed or imported.
    OSError
        If the file can not be read.
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidType("path", f"a {type(path).__name__}", "a path")
    return decode(Path(path).read_bytes(), structure)


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the privacy label of a file as a dict, without building the release or trusting the label."""
    return _label(split(Path(path).read_bytes())[0])


def verify(path: str | os.PathLike[str], *, structure: Structure[Any] | None = None) -> list[str]:
    """Recompute hash and accounting of a file without the data; return what was checked, one line each.

    Raises
    ------
    FileFormatError
        If something does not add up.
    """
    release = load(path, structure=structure)
    receipt = release.receipt
    price = sum(event.price() for event in receipt.events)
    pure_in_gdp = isinstance(receipt.cost, PureDP) and isinstance(receipt.charged, GDP)
    if receipt.charged != (GDP.from_pure(receipt.cost) if pure_in_gdp else receipt.cost):
        raise FileFormatError("the receipt was charged another amount than its cost")
    checked = [
        "hash: label and tensors are as written",
        f"accounting: the noise costs {price / receipt.cost.units:.9f} of the stated cost, recomputed exactly",
    ]
    plan = make_plan(
        release.structure,
        cost=receipt.cost,
        epsilon=None,
        delta=None,
        error=None,
        neighbors=receipt.neighbors,
        unit=receipt.unit,
    )
    if plan.events != receipt.events:
        if receipt.version == _version():
            raise FileFormatError("sensitivities or scales are not those of the blueprint's plan at this cost")
        checked.append(f"plan: differs from this version's (written by version {receipt.version}); price checked above")
    else:
        checked.append("plan: sensitivities and scales are those that the blueprint plans for this cost")
    return checked


def _version() -> str:
    from dpstruct._version import __version__

    return __version__
