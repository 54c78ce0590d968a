"""Exact minimum-volume ellipsoids with certificates. NOT PRIVATE: for polytopes, public data, comparisons and tests.

`mvee` contains all rows, `john` fits inside a polytope, `capped` contains most rows; `solve` is all of them. For
private data use a structure of the library: these results depend on single rows without any noise.
"""

from dpstruct.ellipsoid._region import Region
from dpstruct.ellipsoid._solve import Ellipsoid, capped, john, mvee, solve

__all__ = ["Ellipsoid", "Region", "capped", "john", "mvee", "solve"]
