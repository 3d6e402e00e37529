"""Batch-Normalised networks as base learners; torch and skorch live here, and nowhere else."""

from stackkit.nn import batchnorm
from stackkit.nn._augment import Augmentation
from stackkit.nn._estimators import BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor
from stackkit.nn._modules import BNCNN, BNMLP, ConvBlock

__all__ = [
    "BNCNN",
    "BNMLP",
    "Augmentation",
    "BNCNNClassifier",
    "BNCNNRegressor",
    "BNMLPClassifier",
    "BNMLPRegressor",
    "ConvBlock",
    "batchnorm",
]
