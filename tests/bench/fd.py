"""`make bench-fd`: what a Fréchet distance costs, beside the definition with scipy's matrix root, on the same vectors.

Random vectors of 2048 dimensions, of more and less variance, in directions of each set's own. Many of them: 6000 a set,
covariances of full rank. Few: 500. Timed is what follows the moments: theirs have been through `numpy.cov`, ours
through `Moments`, and what that took is printed beside. The ways take turns; times are CPU seconds of one thread,
medians over rounds, and ratios are of the same round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from curation.runner.process import ONE_THREAD
from model.metrics import frechet_distance, moments_of

Rows = NDArray[np.float64]
Normal = tuple[NDArray[np.float64], NDArray[np.float64]]
Result = TypeVar("Result")
MANY, FEW = 6000, 500
ASKED = {MANY: 4.0, FEW: 100.0}
ASKED_DIFFERENCE = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{options.dimension} dimensions, numpy {np.__version__}, scipy {scipy.__version__}, CPU seconds of one thread"
    )
    good = [compared(count, options.dimension, options.rounds) for count in (MANY, FEW)]
    sys.exit(not all(good))


def compared(count: int, dimension: int, rounds: int) -> bool:
    """One size of sets: the times, their ratio and the difference; whether they are as asked."""
    one, other = (vectors(count, dimension, seed) for seed in (1, 2))
    covered, covariances = timed(lambda: (mean_and_covariance(one), mean_and_covariance(other)))
    summed, moments = timed(lambda: (moments_of(one), moments_of(other)))
    ours, theirs = [], []
    for _ in range(rounds):
        seconds, found = timed(lambda: frechet_distance(*moments))
        ours.append(seconds)
        seconds, expected = timed(lambda: by_definition(*covariances))
        theirs.append(seconds)
    ratio = statistics.median(their / our for their, our in zip(theirs, ours, strict=True))
    difference = abs(found / expected - 1)
    good = ratio >= ASKED[count] and difference <= ASKED_DIFFERENCE
    print(f"{count} vectors a set: distance {found:.6f}{'' if good else '  MISSED'}")
    print(f"  scipy {statistics.median(theirs):8.3f} s, after {covered:.3f} s for the covariances")
    print(f"  ours  {statistics.median(ours):8.3f} s, after {summed:.3f} s for the moments")
    print(
        f"  {ratio:.1f}x (asked: {ASKED[count]:g}x), relative difference {difference:.1e}, {ASKED_DIFFERENCE:g} asked"
    )
    return good


def vectors(count: int, dimension: int, seed: int) -> Rows:
    """Variances that fall over three decades, along directions of each set's own."""
    draw = np.random.default_rng(seed)
    scale = np.geomspace(1.0, 0.03, dimension)
    mixed = draw.standard_normal((dimension, dimension)) / np.sqrt(dimension)
    found: Rows = (draw.standard_normal((count, dimension)) * scale) @ mixed + draw.standard_normal(dimension) / 10
    return found


def mean_and_covariance(rows: Rows) -> Normal:
    """(dimension,) and (dimension, dimension)."""
    return rows.mean(axis=0), np.asarray(np.cov(rows, rowvar=False), np.float64)


def by_definition(one: Normal, other: Normal) -> float:
    """As it is written everywhere."""
    (mean, first), (other_mean, second) = one, other
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of singular products, whose root is good enough
        root = sqrtm(first @ second)
    apart = mean - other_mean
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * np.trace(root).real)


def timed(do: Callable[[], Result]) -> tuple[float, Result]:
    """CPU seconds and result."""
    began = time.process_time()
    result = do()
    return time.process_time() - began, result


if __name__ == "__main__":
    if not ONE_THREAD.items() <= os.environ.items():  # numpy has read these when it was imported
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    main()
