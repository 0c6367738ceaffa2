"""Blind listening in the browser: two sounds of a cut beside its pictures, neither named until both are rated."""

from .component import compare
from .trials import BlindTrials, Trial, trial_routes, trials_of

__all__ = ["BlindTrials", "Trial", "compare", "trial_routes", "trials_of"]
