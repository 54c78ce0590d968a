"""Every example in a docstring of the installed library runs and prints what it says."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

import dpstruct

# Modules that need an extra, and the library that the extra brings. Without it they are skipped, with it they are not.
EXTRAS = {
    "dpstruct.testing": "hypothesis",
    "dpstruct.audit.plugin": "hypothesis",
    "dpstruct.audit.private": "hypothesis",
    "dpstruct.audit.sampler": "hypothesis",
    "dpstruct.torch": "torch",
}
NEEDS_A_GPU = "dpstruct.kernels.cuda."


def names():
    def fail(name):
        raise ImportError(name)

    extras_missing = tuple(name for name, library in EXTRAS.items() if importlib.util.find_spec(library) is None)
    for module in pkgutil.walk_packages(dpstruct.__path__, "dpstruct.", onerror=fail):
        if not module.name.startswith((NEEDS_A_GPU, *extras_missing)) and not module.name.endswith("__main__"):
            yield module.name


@pytest.mark.parametrize("name", ["dpstruct", *names()])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # examples may write files
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0, "see the captured output"
