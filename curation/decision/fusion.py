"""Fuses the detectors' scores to one probability per contaminant and frame, with the recipe's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Contaminant, Recipe
from manifests.scores import FrameScores, Grid

from .integration import Levels, LowHigh
from .log_odds import HOP as HOP
from .log_odds import logit as logit
from .log_odds import moving_mean as moving_mean


@dataclass(frozen=True, eq=False)
class Fused:
    """Bounds of each contaminant's probability on the grid: cell i is [i * HOP, (i + 1) * HOP) seconds.

    Where all detectors have scored the cell, `lower` is `upper`. Where a score is pending, it may take any value, and
    the bounds are the extremes of the resulting probability. NaN where a score will never exist: after the end of the
    audio.
    """

    count: int
    lower: Mapping[str, NDArray[np.float32]] = field(repr=False)
    upper: Mapping[str, NDArray[np.float32]] = field(repr=False)

    @cached_property
    def unscored(self) -> NDArray[np.bool_]:
        """Cells that some contaminant's detectors will never score, shape (count,)."""
        missing = np.zeros(self.count, bool)
        for track in self.lower.values():
            missing |= np.isnan(track)
        return missing

    @cached_property
    def open(self) -> NDArray[np.bool_]:
        """Cells whose probabilities depend on pending scores, shape (count,)."""
        unsettled = np.zeros(self.count, bool)
        for name, track in self.lower.items():
            if track is not self.upper[name]:
                unsettled |= (track != self.upper[name]) & ~np.isnan(track)
        return unsettled

    @cached_property
    def worst(self) -> NDArray[np.float32]:
        """The largest lower bound of any contaminant in each cell, NaN where one is unscored."""
        return np.asarray(np.max(np.stack(list(self.lower.values())), axis=0), np.float32)


def cell_count(duration: float) -> int:
    """Number of grid cells in `duration` seconds; the last one may be partial."""
    return int(np.ceil(duration / HOP - 1e-6))


def pending_cells(scores: FrameScores | None, count: int) -> NDArray[np.bool_]:
    """Cells that a detector could score and has not yet, shape (count,): without scores, all of them."""
    if scores is None:
        return np.ones(count, bool)
    if not np.isnan(scores.values[:, :1]).any():
        return np.zeros(count, bool)
    centres = (np.arange(count) + 0.5) * HOP
    within = (centres >= scores.start) & (centres < scores.start + len(scores) * scores.hop)
    return np.asarray(within & np.isnan(scores.on_grid(scores.labels[0], HOP, count)))


def scored_seconds(scores: FrameScores | None) -> float:
    """Seconds of audio that a detector has scored."""
    return 0.0 if scores is None else float(np.count_nonzero(~np.isnan(scores.values[:, 0]))) * scores.hop


Grids = dict[str, Grid]
"""The grid of each detector's frames, computed once for all of its labels."""


def track_bounds(scores: Mapping[str, FrameScores], name: str, count: int, grids: Grids) -> LowHigh:
    """Bounds of the track "detector.label" on the grid; the same array twice if all of it is scored.

    Raises KeyError for a label that the detector does not have.
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
    scores: Mapping[str, FrameScores],
    contaminant: Contaminant,
    count: int,
    grids: Grids | None = None,
    levels: Levels | None = None,
) -> LowHigh:
    """Lower and upper bound of one contaminant's fused probability on the grid, shape (count,) each.

    Every step from a score that may be pending to the probability is monotone, so bounds of the scores give bounds of
    the probability. NaN where any of its evidence will never be scored. `levels`: those of the recording, for the
    integrated evidence; None: under the default parameters, without silent time.
    """
    cached = {} if grids is None else grids
    tracks = {name: track_bounds(scores, name, count, cached) for name in contaminant.tracks}
    known = all(least is most for least, most in tracks.values())
    found = Levels() if levels is None else levels
    integrated = [(found.bounds(one, *tracks[one.track]), one) for one in contaminant.integrated]

    def probability(evidence_bound: int) -> NDArray[np.float32]:
        odds: NDArray[np.float32] = np.zeros(count, np.float32)
        for name, evidence in contaminant.evidence.items():
            odds += evidence.weight * (logit(tracks[name][evidence_bound]) - logit(evidence.bias))
        for name, other in contaminant.suppressed_by.items():
            # the more another source explains, the less is left: so the opposite bound counts
            odds -= other.weight * np.maximum(logit(tracks[name][1 - evidence_bound]) - logit(other.floor), 0)
        odds = moving_mean(odds, round(contaminant.smoothing / HOP))
        for level, one in integrated:  # each has a window of its own
            odds = odds + np.float32(one.weight) * (level[evidence_bound] - logit(one.bias) - np.float32(one.neutral))
        if contaminant.prior:
            odds = odds + np.float32(contaminant.prior)
        return np.asarray(1 / (1 + np.exp(-odds)), np.float32)

    lower = probability(0)
    return lower, lower if known else probability(1)


def fuse(scores: Mapping[str, FrameScores], recipe: Recipe, duration: float) -> Fused:
    """Fuse every contaminant of the recipe over a recording of `duration` seconds.

    `scores` by detector; a missing detector has scored nothing yet. The audio ends with the scores of `level`.
    """
    count = cell_count(duration)
    level = scores["level"]
    after_end = (np.arange(count) + 0.5) * HOP >= level.start + len(level) * level.hop
    lower: dict[str, NDArray[np.float32]] = {}
    upper: dict[str, NDArray[np.float32]] = {}
    grids: Grids = {}
    levels = Levels(recipe.integration, silent_cells(level, recipe, count) if recipe.has_relative_evidence else None)
    for name, contaminant in recipe.contaminants.items():
        low, high = contaminant_bounds(scores, contaminant, count, grids, levels)
        lower[name] = np.where(after_end, np.float32(np.nan), low)
        upper[name] = lower[name] if high is low else np.where(after_end, np.float32(np.nan), high)
    return Fused(count, lower, upper)


def silent_cells(level: FrameScores, recipe: Recipe, count: int) -> NDArray[np.bool_]:
    """Cells below the recipe's level of silence, or without audio, shape (count,)."""
    loud = level.on_grid("rms_dbfs", HOP, count) >= recipe.silence.rms_dbfs
    return np.asarray(~loud)
