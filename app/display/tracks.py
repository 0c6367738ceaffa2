"""Tracks: a recording's probabilities and level in as many columns as a screen shows, with every short peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curation.decision.fusion import HOP, fuse
from manifests.recipe import Recipe
from manifests.scores import FrameScores
from manifests.time import Segment

FLOOR_DBFS = -100.0  # the lower edge of the level's track


@dataclass(frozen=True, eq=False)
class DisplayTracks:
    """Columns of `column_seconds` each, from 0; every array is float32 (columns,), NaN where unscored.

    `probabilities`: the largest of each contaminant in the column; `loudest`, `quietest`: the extremes of the
    level there, RMS in dBFS.
    """

    column_seconds: float
    probabilities: Mapping[str, NDArray[np.float32]] = field(repr=False)
    loudest: NDArray[np.float32] = field(repr=False)
    quietest: NDArray[np.float32] = field(repr=False)

    def peak(self, within: Segment) -> float:
        """The time in `within` at which a contaminant is most probable, in seconds; its middle without scores."""
        worst = np.fmax.reduce(list(self.probabilities.values()))
        first = min(int(within.start / self.column_seconds), len(worst) - 1)
        columns = worst[first : max(int(np.ceil(within.end / self.column_seconds)), first + 1)]
        if np.isnan(columns).all():
            return (within.start + within.end) / 2
        middle = (first + int(np.nanargmax(columns)) + 0.5) * self.column_seconds
        return min(max(middle, within.start), within.end)


def display_tracks(scores: Mapping[str, FrameScores], recipe: Recipe, duration: float, columns: int) -> DisplayTracks:
    """The tracks of a recording of `duration` seconds in at most `columns` columns.

    Time that a detector has not scored is shown with the lowest probability that it can have. Raises KeyError without
    scores of `level`, ValueError for `columns` below 1.
    """
    if columns < 1:
        raise ValueError(f"tracks need at least 1 column, not {columns}")
    fused = fuse(scores, recipe, duration)
    level = scores["level"].on_grid("rms_dbfs", HOP, fused.count)
    return DisplayTracks(
        column_seconds=HOP * fused.count / min(columns, fused.count),
        probabilities={name: pool_columns(track, columns) for name, track in fused.lower.items()},
        loudest=pool_columns(level, columns),
        quietest=-pool_columns(-level, columns),
    )


def pool_columns(track: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """The track in at most `columns` columns, each the largest of its cells; NaN only where all of them are.

    A cell on the border of two columns counts in the one where it begins.
    """
    if len(track) <= columns:
        return track
    first = np.arange(columns) * len(track) // columns
    return np.asarray(np.fmax.reduceat(track, first), np.float32)


def level_share(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """A level in dBFS as a share: FLOOR_DBFS is 0, full scale is 1."""
    return np.asarray(1 - level / FLOOR_DBFS, np.float32)


def track_bytes(track: NDArray[np.float32]) -> bytes:
    """A track of values from 0 to 1 as one byte per column: 0 is unscored, 1 to 255 are 0 to 1."""
    # a probability that reaches a threshold must not fall below it: rounded up
    steps = np.ceil(np.clip(np.nan_to_num(track), 0, 1) * 254) + 1
    return np.where(np.isnan(track), 0, steps).astype(np.uint8).tobytes()
