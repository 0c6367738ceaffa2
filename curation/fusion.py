"""From the detectors' scores to one probability per contaminant and frame, as the recipe weighs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Contaminant, Recipe
from manifests.scores import FrameScores

HOP = 0.04  # the common grid, seconds
CERTAIN = 1e-4  # scores are held this far from 0 and 1: no detector outvotes all others for ever


@dataclass(frozen=True, eq=False)
class Fused:
    """Probability of each contaminant on the grid: cell i is [i * HOP, (i + 1) * HOP) seconds; NaN where unscored."""

    count: int
    probabilities: Mapping[str, NDArray[np.float32]] = field(repr=False)

    @property
    def unscored(self) -> NDArray[np.bool_]:
        """Cells that some contaminant's detectors never heard, shape (count,)."""
        missing = np.zeros(self.count, bool)
        for lane in self.probabilities.values():
            missing |= np.isnan(lane)
        return missing

    @cached_property
    def worst(self) -> NDArray[np.float32]:
        """The largest probability of any contaminant in each cell, NaN where one is unscored."""
        return np.asarray(np.max(np.stack(list(self.probabilities.values())), axis=0), np.float32)


def logit(probability: NDArray[np.float32] | float) -> NDArray[np.float32]:
    """Log-odds, natural logarithm, of probabilities held within [CERTAIN, 1 - CERTAIN]."""
    held = np.clip(np.asarray(probability, np.float32), CERTAIN, 1 - CERTAIN)
    return np.asarray(np.log(held) - np.log1p(-held), np.float32)


def moving_mean(lane: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Centred mean over `cells`, shorter at the ends; NaN cells are left out of it and stay NaN."""
    if cells <= 1 or not len(lane):
        return lane
    known = ~np.isnan(lane)
    before, after = (cells - 1) // 2, cells // 2
    begin = np.maximum(np.arange(len(lane)) - before, 0)
    end = np.minimum(np.arange(len(lane)) + after + 1, len(lane))
    total = np.concatenate([[0.0], np.cumsum(np.where(known, lane, 0.0), dtype=np.float64)])
    number = np.concatenate([[0], np.cumsum(known)])
    mean = (total[end] - total[begin]) / np.maximum(number[end] - number[begin], 1)
    return np.where(known, mean, np.nan).astype(np.float32)


def contaminant_probability(
    scores: Mapping[str, FrameScores], contaminant: Contaminant, count: int
) -> NDArray[np.float32]:
    """Fused probability of one contaminant on the grid, shape (count,), NaN where any of its evidence is unscored.

    Raises KeyError when a lane that the recipe weighs was never scored.
    """

    def lane(name: str) -> NDArray[np.float32]:
        detector, _, label = name.partition(".")
        if detector not in scores:
            raise KeyError(f"the recipe weighs {name}, but {detector} has no scores here")
        return scores[detector].on_grid(label, HOP, count)

    odds = np.zeros(count, np.float32)
    for name, evidence in contaminant.evidence.items():
        odds += evidence.weight * (logit(lane(name)) - logit(evidence.neutral))
    for name, other in contaminant.explained_by.items():
        odds -= other.weight * np.maximum(logit(lane(name)) - logit(other.above), 0)
    smooth = moving_mean(odds, round(contaminant.smoothing / HOP))
    return np.asarray(1 / (1 + np.exp(-smooth)), np.float32)


def fuse(scores: Mapping[str, FrameScores], recipe: Recipe, duration: float) -> Fused:
    """Every contaminant of the recipe over a recording of `duration` seconds."""
    count = int(np.ceil(duration / HOP - 1e-6))
    lanes: dict[str, NDArray[np.float32]] = {
        name: contaminant_probability(scores, contaminant, count) for name, contaminant in recipe.contaminants.items()
    }
    return Fused(count, lanes)
