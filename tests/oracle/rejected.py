"""The conformance suite's verdict on a structure that breaks one law."""

import pytest

import dpstruct as dps
from dpstruct.testing import PrivacyViolation, check_structure

COST = {"epsilon": 1.0, "delta": 1e-6}
BALL = dps.Ball(2.0, dim=2)


def rejected(structure, neighbors="add-remove", cost=COST, **options):
    """Return the message with which the suite rejects a structure."""
    with pytest.raises(PrivacyViolation) as caught:
        check_structure(structure.plan(neighbors=neighbors, **cost), examples=20, **options)
    message = str(caught.value)
    assert "claim: " in message
    assert "neighbors: " in message
    return message


def place(release):
    return [release.location]
