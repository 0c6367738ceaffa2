"""Bootstrap intervals: units drawn with replacement, all draws at once.

Every measure here is a function of sums over units (coincidences, counts, seconds), so a draw is a row of how often
each unit was drawn, and all draws are one product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .figures import Estimate

Floats = NDArray[np.float64]
UNDEFINED_SHARE = 0.05  # of the draws, at most: with more, the rest stand for something else
_BLOCK = 2_000_000  # units drawn at once: memory stays at some tens of megabytes


@dataclass(frozen=True)
class Bootstrap:
    """How often to draw, from which seed, for which share of the draws to lie inside the interval."""

    draws: int = 2000
    seed: int = 0
    inside: float = 0.95

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws is {self.draws}, must be 1 or more")

    def sums(self, contributions: Floats) -> Floats:
        """For contributions (units, terms), the sums (draws, terms) over as many units drawn with replacement."""
        units = len(contributions)
        rng = np.random.default_rng(self.seed)
        rows = max(1, _BLOCK // units)
        parts = []
        for first in range(0, self.draws, rows):
            count = min(rows, self.draws - first)
            drawn = rng.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
            times = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
            parts.append(times.astype(np.float64) @ contributions)
        return np.concatenate(parts)

    def estimate(self, contributions: Floats, measure: Callable[[Floats], Floats]) -> Estimate:
        """`measure` of the sums over all units, with its percentile interval.

        `contributions`: (units, terms). `measure`: sums (..., terms) to values (...), NaN where there is none; it
        must have one for all units.
        """
        units = len(contributions)
        value = float(measure(contributions.sum(axis=0)))
        if units < 2:
            return Estimate(value, units=units, note="one task alone has no interval")
        drawn = measure(self.sums(contributions))
        known = drawn[~np.isnan(drawn)]
        missing = 1 - len(known) / len(drawn)
        if missing > UNDEFINED_SHARE:
            note = f"no interval: in {missing:.0%} of the draws there is nothing to tell apart"
            return Estimate(value, units=units, note=note)
        low, high = np.quantile(known, [(1 - self.inside) / 2, (1 + self.inside) / 2])
        if low == high:
            # of units that are all alike, every draw is the same: that says nothing about other units
            return Estimate(value, units=units, note="no interval: every draw gives the same")
        return Estimate(value, float(low), float(high), units)


def ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, NaN where `below` is 0."""
    out = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    values: Floats = np.divide(above, below, out=out, where=np.asarray(below) != 0)
    return values
