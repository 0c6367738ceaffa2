"""Blind comparison in the browser: audio of two systems for the video of a cut, named after the rating."""

from .component import compare
from .trials import BlindTrials, Trial, trial_routes, trials_of

__all__ = ["BlindTrials", "Trial", "compare", "trial_routes", "trials_of"]
