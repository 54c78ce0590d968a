"""Summaries of two kinds of structures do not merge."""

from dpstruct import PrivateKDETree, Release, Summary


class PrivateOther(Release):
    """Some other private structure."""


def merge(tree: Summary[PrivateKDETree], other: Summary[PrivateOther]) -> Summary[PrivateKDETree]:
    return tree + other  # E: [operator]


def relabel(tree: Summary[PrivateKDETree]) -> Summary[PrivateOther]:
    return tree  # E: [return-value]


def cast_away(tree: Summary[PrivateKDETree]) -> Summary[Release]:
    return tree  # E: [return-value]
