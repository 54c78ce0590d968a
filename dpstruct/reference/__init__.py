"""Published algorithms as honest baselines: floats, NumPy noise, no budget, and a label that says what is guaranteed.

Nothing here is a private release: no baseline touches a `Budget`, and each `label` states its guarantee, or None and
the reason. They exist so that benchmarks compare with rivals that are as fast and as accurate as their papers allow.
"""

from dpstruct.reference._label import Label
from dpstruct.reference.adassp import AdaSSP
from dpstruct.reference.analyze_gauss import AnalyzeGauss
from dpstruct.reference.backurs_tree import BackursTree
from dpstruct.reference.ccly import CCLY
from dpstruct.reference.class_means import ClassMeans
from dpstruct.reference.count_estimates import ConsistentTree, PrefixSums
from dpstruct.reference.dp_sniper import DPSniper
from dpstruct.reference.dptree_softmax import DPTreeSoftmax
from dpstruct.reference.fast_dp_john import FastDPJohn
from dpstruct.reference.gaussian_sampling_ntk import GaussianSamplingNTK
from dpstruct.reference.histogram_tester import ClassifierTester, HistogramTester
from dpstruct.reference.khachiyan import Khachiyan
from dpstruct.reference.lsq_fgt import LSQFGT
from dpstruct.reference.lsq_rff import LSQRFF
from dpstruct.reference.output_perturbation import OutputPerturbation
from dpstruct.reference.query_gaussian import QueryGaussian
from dpstruct.reference.race import RACE
from dpstruct.reference.random_features_attention import RandomFeaturesAttention
from dpstruct.reference.refined_tree import RefinedTree
from dpstruct.reference.statdp import StatDP
from dpstruct.reference.whitened_moment import WhitenedSecondMoment

__all__ = [
    "CCLY",
    "LSQFGT",
    "LSQRFF",
    "RACE",
    "AdaSSP",
    "AnalyzeGauss",
    "BackursTree",
    "ClassMeans",
    "ClassifierTester",
    "ConsistentTree",
    "DPSniper",
    "DPTreeSoftmax",
    "FastDPJohn",
    "GaussianSamplingNTK",
    "HistogramTester",
    "Khachiyan",
    "Label",
    "OutputPerturbation",
    "PrefixSums",
    "QueryGaussian",
    "RandomFeaturesAttention",
    "RefinedTree",
    "StatDP",
    "WhitenedSecondMoment",
]
