"""The blueprints and their releases, one file each."""

from dpstruct.structures.anchor_attention import AnchorAttention, PrivateAnchorAttention
from dpstruct.structures.class_densities import ClassDensities, PrivateClassDensities
from dpstruct.structures.cross_attention import CrossAttention, PrivateCrossAttention
from dpstruct.structures.john_ellipsoid import JohnEllipsoid, PrivateEllipsoid
from dpstruct.structures.kde_tree import KDETree, PrivateKDETree
from dpstruct.structures.kernel_density import KernelDensity, PrivateKernelDensity
from dpstruct.structures.ntk_regression import NTKRegression, PrivateRegressor

__all__ = [
    "AnchorAttention",
    "ClassDensities",
    "CrossAttention",
    "JohnEllipsoid",
    "KDETree",
    "KernelDensity",
    "NTKRegression",
    "PrivateAnchorAttention",
    "PrivateClassDensities",
    "PrivateCrossAttention",
    "PrivateEllipsoid",
    "PrivateKDETree",
    "PrivateKernelDensity",
    "PrivateRegressor",
]
