"""Evidence integrated over time: means of log-odds over windows and segments, and against the recording's own level.

Faint contamination that lasts long moves each score by little, and all of them in the same direction. A bed of sound
effects is its own reference: a detector that is often wrong about it is wrong to the same extent all the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Integrated, Integration

from .log_odds import HOP, logit, moving_mean

LowHigh = tuple[NDArray[np.float32], NDArray[np.float32]]
SECOND = round(1 / HOP)  # cells
LEVEL_STEP = 0.05  # log-odds between the levels that a segment may have while change points are searched
LEAST_NOISE = 0.3  # log-odds: a constant track has no change point at its rounding
NOISE_SECONDS = 5  # noise is measured over means of this length too: that of neighbouring seconds is not independent
NORMAL_MEDIAN = 0.6745  # median distance of normal noise from its mean, in standard deviations


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A track as segments of constant level: segment i covers [edges[i], edges[i + 1]) seconds at levels[i] log-odds.

    The inner edges are the change points. `known` is the number of seconds in each segment that its level is made of;
    only a segmentation of no known seconds has a segment with 0 of them, and its level is NaN.
    """

    edges: NDArray[np.int64]
    levels: NDArray[np.float64]
    known: NDArray[np.int64]

    @property
    def change_points(self) -> tuple[float, ...]:
        """The seconds at which the level changes."""
        return tuple(float(edge) for edge in self.edges[1:-1])

    def on_grid(self, count: int) -> NDArray[np.float32]:
        """The level of each grid cell, shape (count,)."""
        lengths = np.diff(self.edges) * SECOND
        return np.repeat(self.levels, lengths)[:count].astype(np.float32)


def second_means(odds: NDArray[np.float32], silent: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Mean log-odds of each second of a track on the grid, shape (seconds,); the last second may be partial.

    NaN for a second of which less than half is known and not silent.
    """
    starts = np.arange(0, len(odds), SECOND)
    if not len(starts):
        return np.zeros(0)
    known = ~np.isnan(odds) if silent is None else ~np.isnan(odds) & ~silent
    number = np.add.reduceat(known.astype(np.int64), starts)
    total = np.add.reduceat(np.where(known, odds, 0.0).astype(np.float64), starts)
    cells = np.diff(np.append(starts, len(odds)))
    return np.where(2 * number >= cells, total / np.maximum(number, 1), np.nan)


def noise(values: NDArray[np.float64]) -> float:
    """Standard deviation of seconds around a constant level, at least LEAST_NOISE; `values` without NaN.

    From the median difference of neighbouring seconds, and of neighbouring means over NOISE_SECONDS, so that rare
    changes of level do not count.
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    found = LEAST_NOISE
    for width in (1, NOISE_SECONDS):
        if len(values) >= 4 * width:
            means = (total[width:] - total[:-width]) / width
            steps = float(np.median(np.abs(means[width:] - means[:-width])))
            found = max(found, steps / NORMAL_MEDIAN * (width / 2) ** 0.5)
    return found


def segmentation(seconds: NDArray[np.float64], penalty: float) -> Segmentation:
    """Segments of constant level in a track's seconds (NaN where unknown), with the least squared error.

    Each change point costs `penalty` times the variance of the noise times the logarithm of the number of seconds.

    Optimal partitioning by dynamic programming over time and level (as Viterbi's algorithm): a second continues the
    level of the one before, or changes to any other level at the cost of a change point. The levels are LEVEL_STEP
    apart, so the time is the number of seconds times that of levels, with or without change points; the levels of the
    result are exact means.
    """
    known = np.flatnonzero(~np.isnan(seconds))
    values = seconds[known]
    ends = np.array([0, len(seconds)], np.int64)
    if not len(values):
        return Segmentation(ends, np.array([np.nan]), np.array([0], np.int64))
    cost = penalty * noise(values) ** 2 * float(np.log(max(len(values), 2)))
    levels = np.arange(values.min(), values.max() + LEVEL_STEP, LEVEL_STEP)
    changed = np.zeros((len(values), len(levels)), np.bool_)
    cheapest = np.zeros(len(values), np.int64)
    total = (levels - values[0]) ** 2
    squares = np.empty_like(total)
    for second, value in enumerate(values.tolist()[1:], start=1):
        cheapest[second] = before = int(total.argmin())
        change = total[before] + cost
        np.greater(total, change, out=changed[second])
        np.minimum(total, change, out=total)
        np.subtract(levels, value, out=squares)
        np.square(squares, out=squares)
        total += squares
    starts = []
    level = int(total.argmin())
    for second in range(len(values) - 1, 0, -1):
        if changed[second, level]:
            starts.append(second)
            level = int(cheapest[second])
    first = np.array([0, *reversed(starts)], np.int64)
    number = np.diff(np.append(first, len(values)))
    return Segmentation(
        edges=np.concatenate([[0], known[first[1:]], [len(seconds)]]).astype(np.int64),
        levels=np.add.reduceat(values, first) / number,
        known=number,
    )


def own_level(seconds: NDArray[np.float64], parameters: Integration) -> float:
    """The recording's own level of a track, from its seconds (NaN where unknown), in log-odds; NaN if none is known.

    The mean over all of it if that is shorter than `own_level_seconds`.
    """
    values = seconds[~np.isnan(seconds)]
    width = round(parameters.own_level_seconds)
    if len(values) <= width:
        return float(values.mean()) if len(values) else float("nan")
    total = np.concatenate([[0.0], np.cumsum(values)])
    return float(np.quantile((total[width:] - total[:-width]) / width, parameters.own_level_share))


def lowest_level(found: Segmentation, otherwise: float, parameters: Integration) -> float:
    """The lowest level of a segment of at least `own_level_seconds`; `otherwise` if all are shorter."""
    long = found.levels[found.known >= parameters.own_level_seconds]
    return float(long.min()) if len(long) else otherwise


@dataclass(eq=False)
class Levels:
    """The levels of a recording's tracks; those that depend on all of it are computed once.

    `silent`: cells that the own level and the segments leave out, shape (count,).
    """

    parameters: Integration = field(default_factory=Integration)
    silent: NDArray[np.bool_] | None = None
    _found: dict[tuple[str, str, float, str], NDArray[np.float32]] = field(default_factory=dict)
    _tracks: dict[str, tuple[NDArray[np.float64], float]] = field(default_factory=dict)
    _segments: dict[str, Segmentation] = field(default_factory=dict)

    def bounds(self, one: Integrated, least: NDArray[np.float32], most: NDArray[np.float32]) -> LowHigh:
        """Bounds of the level of `one` on the grid, in log-odds, from those of its track; NaN where unscored.

        A level that depends on the whole recording can be anything while a part of its track is pending.
        """
        if not one.relative:
            cells = round(one.window / HOP)
            low = moving_mean(logit(least), cells)
            return low, low if most is least else moving_mean(logit(most), cells)
        if most is least:
            if one.measured not in self._found:
                self._found[one.measured] = self._level(one, logit(least))
            level = self._found[one.measured]
            return level, level
        ends = (0.0, self.parameters.limit) if one.against == "recording" else (float(logit(0.0)), float(logit(1.0)))
        never = np.isnan(least)
        low, high = (np.where(never, np.nan, end).astype(np.float32) for end in ends)
        return low, high

    def _level(self, one: Integrated, odds: NDArray[np.float32]) -> NDArray[np.float32]:
        if one.track not in self._tracks:
            seconds = second_means(odds, self.silent)
            if np.isnan(seconds).all():  # silent throughout
                seconds = second_means(odds)
            self._tracks[one.track] = seconds, own_level(seconds, self.parameters)
        seconds, own = self._tracks[one.track]
        if one.over == "segment":
            if one.track not in self._segments:
                self._segments[one.track] = segmentation(seconds, self.parameters.penalty)
            found = self._segments[one.track]
            level = np.where(np.isnan(odds), np.float32(np.nan), found.on_grid(len(odds)))
            own = lowest_level(found, own, self.parameters)
        else:
            level = moving_mean(odds, round(one.window / HOP))
        if one.against == "nothing":
            return level
        return np.clip(level - np.float32(own), 0, self.parameters.limit)
