"""Fréchet distance of two sets of embeddings, each taken as a normal distribution (Heusel et al. 2017).

d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), covariances divided by n - 1. The root is expensive,
but only its trace is needed. With S1 = F1'F1, the eigenvalues of S1 S2 are those of F1 S2 F1', which is symmetric: no
complex parts to discard. With both factored the trace is the sum of the singular values of F1 F2'. A set with at most
as many rows as dimensions is its own factor, and a small one; others are factored by Cholesky.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating]
Matrix = NDArray[np.float64]


class Moments:
    """Mean and covariance of vectors that come in batches of any size, in float64.

    Stores the vectors themselves until there are more of them than dimensions, and then their scatter matrix: at most
    `dimension` x `dimension` values.
    """

    def __init__(self, dimension: int) -> None:
        if dimension < 1:
            raise ValueError(f"Fréchet distance: {dimension} dimensions, must be at least 1")
        self.dimension, self.count = dimension, 0
        self._mean = np.zeros(dimension)
        self._held: list[Matrix] = []
        self._scatter: Matrix | None = None  # sum of (x - mean)(x - mean)'

    def push(self, rows: Rows) -> Moments:
        """Add vectors (n, dimension); returns itself. Raises ValueError for another shape, NaN and infinite values."""
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise ValueError(f"Fréchet distance: vectors of shape {rows.shape}, must be (n, {self.dimension})")
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            raise ValueError(f"Fréchet distance: vector {self.count + int(finite.argmin())} has NaN or infinity")
        if self._scatter is None and self.count + len(rows) <= self.dimension:
            self._held.append(np.array(rows, np.float64))
            self.count += len(rows)
            return self
        if self._scatter is None:
            self._scatter = np.zeros((self.dimension, self.dimension))
            held, self._held, self.count = self._held, [], 0
            for part in held:
                self._add(part)
        # no more at a time than dimensions: a large batch is never copied whole
        for first in range(0, len(rows), self.dimension):
            self._add(np.asarray(rows[first : first + self.dimension], np.float64))
        return self

    def _add(self, rows: Matrix) -> None:
        """Chan, Golub & LeVeque 1983: the scatter of two groups is the sum of theirs and that of their means."""
        assert self._scatter is not None
        if not len(rows):
            return
        mean, both = rows.mean(axis=0), self.count + len(rows)
        centred, shift = rows - mean, mean - self._mean
        self._scatter += centred.T @ centred
        self._scatter += np.outer(shift, shift * (self.count * len(rows) / both))
        self._mean += shift * (len(rows) / both)
        self.count = both

    def mean(self) -> NDArray[np.float64]:
        """(dimension,); raises ValueError before the first vector."""
        self._needs(1)
        return self._mean.copy() if self._scatter is not None else np.concatenate(self._held).mean(axis=0)

    def covariance(self) -> Matrix:
        """(dimension, dimension), as by `numpy.cov`; raises ValueError before the second vector."""
        self._needs(2)
        if self._scatter is not None:
            return self._scatter / (self.count - 1)
        factor = self.factor()
        return factor.T @ factor

    def factor(self, eps: float = 0.0) -> Matrix:
        """F (r, dimension), r as small as is cheap, with F'F = covariance + eps times identity."""
        self._needs(2)
        if self._scatter is not None or eps:
            return _root(self.covariance() + eps * np.eye(self.dimension))
        rows = np.concatenate(self._held)
        return np.asarray((rows - rows.mean(axis=0)) / np.sqrt(self.count - 1))

    @property
    def held(self) -> bool:
        """True while the vectors are still stored: at most as many as dimensions."""
        return self._scatter is None

    def _needs(self, least: int) -> None:
        if self.count < least:
            raise ValueError(f"Fréchet distance: {self.count} vectors, needs at least {least}")


def moments_of(rows: Rows) -> Moments:
    """Moments of vectors (n, D)."""
    return Moments(rows.shape[-1]).push(rows)


def frechet_distance(one: Moments, other: Moments, eps: float = 0.0) -> float:
    """The squared distance, 0 for equal moments up to rounding (1e-7 of the variances), never negative.

    Covariances may be singular: the root of their product still has a trace, the one that scipy's `sqrtm` gives if it
    converges. If it does not, other programs add `eps` = 1e-6 to both diagonals for the root alone; pass the same `eps`
    to compare with their figures. Raises ValueError for sets of unequal dimensions or of fewer than two vectors.
    """
    if one.dimension != other.dimension:
        raise ValueError(f"Fréchet distance: {one.dimension} against {other.dimension} dimensions")
    apart = one.mean() - other.mean()
    variances = _variance(one) + _variance(other)
    return max(0.0, float(apart @ apart) + variances - 2 * _root_trace(one, other, eps))


def _variance(moments: Moments) -> float:
    """Trace of the covariance."""
    return float(np.square(moments.factor()).sum() if moments.held else np.trace(moments.covariance()))


def _root_trace(one: Moments, other: Moments, eps: float) -> float:
    """Trace of the root of the product of the covariances."""
    if not eps and one.held and other.held:
        return float(np.linalg.svd(one.factor() @ other.factor().T, compute_uv=False).sum())
    # the smaller factor outside: the eigenvalue problem is as large as that
    small, large = (one, other) if one.held or not other.held else (other, one)
    factor = small.factor(eps)
    covariance = large.covariance()
    covariance[np.diag_indices_from(covariance)] += eps
    values = np.linalg.eigvalsh(factor @ covariance @ factor.T)
    return float(np.sqrt(values.clip(0.0)).sum())  # rounding can make zeros negative


def _root(covariance: Matrix) -> Matrix:
    """F with F'F = covariance, singular ones included."""
    try:
        return np.asarray(np.linalg.cholesky(covariance).T)
    except np.linalg.LinAlgError:  # singular: half as fast, and the root of what is there
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(np.sqrt(values.clip(0.0))[:, None] * vectors.T)
