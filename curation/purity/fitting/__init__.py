"""Fits the fusion on labelled recordings: weights, biases and thresholds of a recipe's contaminants."""

from .fit import fit_fusion
from .recordings import FitError, LabelledRecording, candidate_levels
from .result import FitSettings, FittedContaminant, FusionFit
from .written import with_fusion

__all__ = [
    "FitError",
    "FitSettings",
    "FittedContaminant",
    "FusionFit",
    "LabelledRecording",
    "candidate_levels",
    "fit_fusion",
    "with_fusion",
]
