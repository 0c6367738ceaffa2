"""From the detectors' scores to one probability per contaminant and frame, as the recipe weighs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Contaminant, Recipe
from manifests.scores import FrameScores, Grid

HOP = 0.04  # the common grid, seconds
STEPS = 2**20  # of a log-odds of 1: far finer than scores are kept
CERTAIN = 1e-4  # scores are held this far from 0 and 1: no detector outvotes all others for ever


@dataclass(frozen=True, eq=False)
class Fused:
    """Bounds of each contaminant's probability on the grid: cell i is [i * HOP, (i + 1) * HOP) seconds.

    Where all detectors heard the cell, `lower` is `upper`. Where one has yet to hear it, its scores may turn out to
    be anything, and the bounds say what that could make of the probability. NaN where somebody never will hear it:
    the sound has ended.
    """

    count: int
    lower: Mapping[str, NDArray[np.float32]] = field(repr=False)
    upper: Mapping[str, NDArray[np.float32]] = field(repr=False)

    @cached_property
    def unscored(self) -> NDArray[np.bool_]:
        """Cells that some contaminant's detectors will never hear, shape (count,)."""
        missing = np.zeros(self.count, bool)
        for lane in self.lower.values():
            missing |= np.isnan(lane)
        return missing

    @cached_property
    def open(self) -> NDArray[np.bool_]:
        """Cells whose probabilities depend on what has yet to be heard, shape (count,)."""
        unsettled = np.zeros(self.count, bool)
        for name, lane in self.lower.items():
            if lane is not self.upper[name]:
                unsettled |= (lane != self.upper[name]) & ~np.isnan(lane)
        return unsettled

    @cached_property
    def worst(self) -> NDArray[np.float32]:
        """The largest lower bound of any contaminant in each cell, NaN where one is unscored."""
        return np.asarray(np.max(np.stack(list(self.lower.values())), axis=0), np.float32)


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
    # in whole steps: sums are exact, so a mean depends on its own cells only, however it is summed up
    steps = np.rint(np.where(known, lane, 0.0).astype(np.float64) * STEPS).astype(np.int64)
    total = np.concatenate([[0], np.cumsum(steps)])
    number = np.concatenate([[0], np.cumsum(known)])
    mean = (total[end] - total[begin]) / (np.maximum(number[end] - number[begin], 1) * STEPS)
    return np.where(known, mean, np.nan).astype(np.float32)


LowHigh = tuple[NDArray[np.float32], NDArray[np.float32]]


def cell_count(duration: float) -> int:
    """Number of the grid's cells in `duration` seconds, the last one perhaps in part."""
    return int(np.ceil(duration / HOP - 1e-6))


def pending_cells(scores: FrameScores | None, count: int) -> NDArray[np.bool_]:
    """Cells that a detector could hear and has not yet, shape (count,): without scores, all of them."""
    if scores is None:
        return np.ones(count, bool)
    if not np.isnan(scores.values[:, :1]).any():
        return np.zeros(count, bool)
    centres = (np.arange(count) + 0.5) * HOP
    within = (centres >= scores.start) & (centres < scores.start + len(scores) * scores.hop)
    return np.asarray(within & np.isnan(scores.on_grid(scores.labels[0], HOP, count)))


def scored_seconds(scores: FrameScores | None) -> float:
    """Seconds of sound that a detector heard."""
    return 0.0 if scores is None else float(np.count_nonzero(~np.isnan(scores.values[:, 0]))) * scores.hop


Grids = dict[str, Grid]
"""The grid of each detector's frames, computed once for all of its labels."""


def track_bounds(scores: Mapping[str, FrameScores], name: str, count: int, grids: Grids) -> LowHigh:
    """What the lane "detector.label" is at least and at most on the grid; the same array where it is known.

    Raises KeyError for a label that the detector has not.
    """
    detector, _, label = name.partition(".")
    if detector not in scores:
        return np.zeros(count, np.float32), np.ones(count, np.float32)
    if detector not in grids:
        grids[detector] = scores[detector].grid(HOP, count)
    track = scores[detector].on_grid(label, HOP, count, grids[detector])
    missing = pending_cells(scores[detector], count)
    if not missing.any():
        return track, track
    return np.where(missing, np.float32(0), track), np.where(missing, np.float32(1), track)


def contaminant_bounds(
    scores: Mapping[str, FrameScores], contaminant: Contaminant, count: int, grids: Grids | None = None
) -> LowHigh:
    """Fused probability of one contaminant on the grid, at least and at most, shape (count,) each.

    Every step from a score to the probability is monotone, so bounds of the scores give bounds of the probability.
    NaN where any of its evidence will never be scored.
    """
    found = {} if grids is None else grids
    lanes = {
        name: track_bounds(scores, name, count, found) for name in (*contaminant.evidence, *contaminant.suppressed_by)
    }

    def probability(evidence_bound: int) -> NDArray[np.float32]:
        odds = np.zeros(count, np.float32)
        for name, evidence in contaminant.evidence.items():
            odds += evidence.weight * (logit(lanes[name][evidence_bound]) - logit(evidence.bias))
        for name, other in contaminant.suppressed_by.items():
            # the more another source explains, the less is left: here the other bound counts
            odds -= other.weight * np.maximum(logit(lanes[name][1 - evidence_bound]) - logit(other.floor), 0)
        smooth = moving_mean(odds, round(contaminant.smoothing / HOP))
        return np.asarray(1 / (1 + np.exp(-smooth)), np.float32)

    lower = probability(0)
    known = all(least is most for least, most in lanes.values())
    return lower, lower if known else probability(1)


def fuse(scores: Mapping[str, FrameScores], recipe: Recipe, duration: float) -> Fused:
    """Every contaminant of the recipe over a recording of `duration` seconds.

    `scores` by detector; a detector that is missing has heard nothing yet. The sound ends where `level` says.
    """
    count = cell_count(duration)
    level = scores["level"]
    beyond = (np.arange(count) + 0.5) * HOP >= level.start + len(level) * level.hop
    lower: dict[str, NDArray[np.float32]] = {}
    upper: dict[str, NDArray[np.float32]] = {}
    grids: Grids = {}
    for name, contaminant in recipe.contaminants.items():
        low, high = contaminant_bounds(scores, contaminant, count, grids)
        lower[name] = np.where(beyond, np.float32(np.nan), low)
        upper[name] = lower[name] if high is low else np.where(beyond, np.float32(np.nan), high)
    return Fused(count, lower, upper)
