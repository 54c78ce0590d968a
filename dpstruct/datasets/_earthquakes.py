"""One week of earthquakes."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["earthquakes"]


def earthquakes() -> NDArray[np.float64]:
    """Return the earthquakes of one week: longitude, latitude (degrees), depth (km) and magnitude.

    Returns
    -------
    ndarray of float64, shape (1679, 4)

    Notes
    -----
    All earthquakes that the United States Geological Survey lists for 31 January to 7 February 2018, of any magnitude,
    in the order of its feed "all_week" (other seismic events are left out). A work of the United States government, in
    the public domain. Taken from the ``earthquakes.json`` of vega-datasets 2.11.0; coordinates are rounded to 0.001
    degrees, depth and magnitude to 0.1.

    Examples
    --------
    >>> from dpstruct.datasets import earthquakes
    >>> X = earthquakes()
    >>> X.shape, X[:, :2].min(axis=0).round(1), X[:, :2].max(axis=0).round(1)
    ((1679, 4), array([-179.6,  -65.9]), array([178.8,  83. ]))
    """
    text = files("dpstruct.datasets").joinpath("earthquakes.csv").read_text(encoding="utf-8")
    return np.array([row.split(",") for row in text.split()[1:]], dtype=np.float64)
