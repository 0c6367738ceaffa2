"""Lanes: a recording's probabilities and level in as many columns as a picture has, no short peak lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curation.decision.fusion import HOP, fuse
from manifests.recipe import Recipe
from manifests.scores import FrameScores
from manifests.time import Segment


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
        """Where in `within` a contaminant is most probable, in seconds; its middle when nothing is known."""
        worst = np.fmax.reduce(list(self.probabilities.values()))
        first = min(int(within.start / self.column_seconds), len(worst) - 1)
        here = worst[first : max(int(np.ceil(within.end / self.column_seconds)), first + 1)]
        if np.isnan(here).all():
            return (within.start + within.end) / 2
        middle = (first + int(np.nanargmax(here)) + 0.5) * self.column_seconds
        return min(max(middle, within.start), within.end)


def display_tracks(scores: Mapping[str, FrameScores], recipe: Recipe, duration: float, columns: int) -> DisplayTracks:
    """The lanes of a recording of `duration` seconds in at most `columns` columns.

    What a detector did not hear is shown as the least it can be. Raises KeyError without scores of `level`,
    ValueError for `columns` below 1.
    """
    if columns < 1:
        raise ValueError(f"a picture of {columns} columns shows nothing")
    fused = fuse(scores, recipe, duration)
    level = scores["level"].on_grid("rms_dbfs", HOP, fused.count)
    return DisplayTracks(
        column_seconds=HOP * fused.count / min(columns, fused.count),
        probabilities={name: pool_columns(lane, columns) for name, lane in fused.lower.items()},
        loudest=pool_columns(level, columns),
        quietest=-pool_columns(-level, columns),
    )


def pool_columns(lane: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """The lane in at most `columns` columns, each the largest of its cells; NaN only where all of them are.

    A cell on the border of two columns counts in the one where it begins.
    """
    if len(lane) <= columns:
        return lane
    first = np.arange(columns) * len(lane) // columns
    return np.asarray(np.fmax.reduceat(lane, first), np.float32)
