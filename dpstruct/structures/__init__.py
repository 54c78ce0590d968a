"""The blueprints and their releases, one file each."""

from dpstruct.structures.kde_tree import KDETree, PrivateKDETree

__all__ = ["KDETree", "PrivateKDETree"]
