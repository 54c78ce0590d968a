"""Choose where a kernel runs. Imports neither Numba nor a driver before somebody asks for a GPU."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


@cache
def _installed() -> bool:
    """Tell whether the numba-cuda package is there; looked for once."""
    return find_spec("numba_cuda") is not None


def _usable() -> bool:
    """Tell whether `numba.cuda` imports and finds a GPU (or stands in for one, as its simulator does)."""
    try:
        from numba import cuda
    except ImportError:
        return False
    return bool(cuda.is_available())


def _simulated() -> bool:
    from numba import config

    return bool(getattr(config, "ENABLE_CUDASIM", False))


def resolve(device: str) -> str:
    """Return ``"cpu"`` or ``"cuda"`` for ``"auto"``, ``"cpu"`` or ``"cuda"``.

    ``"auto"`` is ``"cuda"`` where the numba-cuda package is installed and a GPU answers (never the simulator).

    Raises
    ------
    RuntimeError
        ``"cuda"`` was asked for and there is no usable GPU.
    ValueError
        `device` is none of the three.
    """
    if device == "cpu":
        return "cpu"
    if device == "auto":
        return "cuda" if _installed() and not _simulated() and _usable() else "cpu"
    if device != "cuda":
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda', not {device!r}")
    if not _usable():
        raise RuntimeError(
            "device='cuda' needs an NVIDIA GPU with its driver and the numba-cuda package: "
            "pip install 'dpstruct[cuda12]' or 'dpstruct[cuda13]'; or use device='cpu'"
        )
    return "cuda"


def load(word: str, device: str) -> ModuleType:
    """Return the module of kernels named after a structure for that device: ``load("kde_tree", "auto")``."""
    room = "dpstruct.kernels.cuda" if resolve(device) == "cuda" else "dpstruct.kernels"
    return import_module(f"{room}.{word}")
