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
UNDEFINED_SHARE = 0.05  # of the draws, at most: with more, the rest are not representative
_BLOCK = 2_000_000  # units drawn at once: uses some tens of megabytes


@dataclass(frozen=True)
class Bootstrap:
    """Number of draws, their seed, and the share of draws inside the interval."""

    draws: int = 2000
    seed: int = 0
    inside: float = 0.95

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws is {self.draws}, must be 1 or more")

    def sums(self, contributions: Floats) -> Floats:
        """The sums (draws, terms) of contributions (units, terms) over as many units drawn with replacement."""
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

        `contributions`: (units, terms). `measure`: sums (..., terms) to values (...), NaN if undefined; it must be
        defined for all units together.
        """
        units = len(contributions)
        value = float(measure(contributions.sum(axis=0)))
        if units < 2:
            return Estimate(value, units=units, note="one task alone has no interval")
        drawn = measure(self.sums(contributions))
        known = drawn[~np.isnan(drawn)]
        missing = 1 - len(known) / len(drawn)
        if missing > UNDEFINED_SHARE:
            note = f"no interval: undefined in {missing:.0%} of the draws"
            return Estimate(value, units=units, note=note)
        low, high = np.quantile(known, [(1 - self.inside) / 2, (1 + self.inside) / 2])
        if low == high:
            # if all units are equal, so are all draws: that is no evidence about other units
            return Estimate(value, units=units, note="no interval: all draws are equal")
        return Estimate(value, float(low), float(high), units)


def ratio(above: Floats, below: Floats) -> Floats:
    """`above / below`, NaN where `below` is 0."""
    out = np.full(np.broadcast_shapes(np.shape(above), np.shape(below)), np.nan)
    values: Floats = np.divide(above, below, out=out, where=np.asarray(below) != 0)
    return values
