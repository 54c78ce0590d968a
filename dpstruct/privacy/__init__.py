"""Numbers about privacy, and no randomness: measures, neighbours, prices, filters, curves, noise laws."""

from dpstruct.privacy.calibration import UNIT, Kind, price, smallest_scale
from dpstruct.privacy.curves import delta_curve, trade_off
from dpstruct.privacy.display import guarantee, remaining, round_down, round_up
from dpstruct.privacy.events import Event, Line
from dpstruct.privacy.filters import Filter, read_share
from dpstruct.privacy.measures import GDP, ApproxDP, Measure, PureDP
from dpstruct.privacy.neighbors import Relation, RowsWithin

__all__ = [
    "GDP",
    "UNIT",
    "ApproxDP",
    "Event",
    "Filter",
    "Kind",
    "Line",
    "Measure",
    "PureDP",
    "Relation",
    "RowsWithin",
    "delta_curve",
    "guarantee",
    "price",
    "read_share",
    "remaining",
    "round_down",
    "round_up",
    "smallest_scale",
    "trade_off",
]
