"""Small real data sets, bundled and in the public domain, for examples and tests."""

from dpstruct.datasets._earthquakes import earthquakes

__all__ = ["earthquakes"]
