"""Public feature maps of private rows: a row's numbers depend on that row and on public values alone."""

from dpstruct.features.products import PublicMatrix, cross, multiply, quantise

__all__ = ["PublicMatrix", "cross", "multiply", "quantise"]
