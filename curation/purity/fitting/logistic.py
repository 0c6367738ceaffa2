"""Logistic regression with weights of at least 0, by a projected Newton method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS = 1 << 13  # computed at once: they stay in the processor's cache
ITERATIONS = 200
TOLERANCE = 1e-7  # of the gradient, per standard deviation of a feature
DECREASE = 1e-4  # of what the gradient promises, that a step must reach
SHORTEST_STEP = 1e-8
LEAST_CURVATURE = 1e-9  # a constant feature has none, and needs none
LEAST_SPREAD = 1e-6  # a feature with less is constant, and has weight 0


@dataclass(frozen=True, eq=False)
class Logistic:
    """log-odds = intercept + features @ weights; `spread`: standard deviation of each feature in the data."""

    weights: NDArray[np.float64]
    intercept: float
    spread: NDArray[np.float64]

    def log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Log-odds of each row of (rows, features)."""
        return np.asarray(features @ self.weights + self.intercept, np.float64)


def fit_logistic(
    features: NDArray[np.float32],
    labels: NDArray[np.bool_],
    row_weights: NDArray[np.float64],
    l2: float,
    start: Logistic | None = None,
) -> Logistic:
    """The weights, each at least 0, and the intercept with the least mean log-loss + l2 / 2 * sum of squared weights.

    `features`: (rows, features); rows of weight 0 do not count. The squares are of weights per standard deviation, so
    the scale of a feature does not matter. `start`: a solution near this one. Raises ValueError for rows of one class.

    Projected Newton (Bertsekas 1982): weights at 0 that the gradient would make negative stay there, a Newton step
    changes the others, negative results become 0, and the step is halved until the loss decreases enough. The problem
    is convex: it has one solution.
    """
    used = row_weights > 0
    rows, truth, share = features[used], labels[used].astype(np.float64), row_weights[used] / row_weights[used].sum()
    if not 0 < truth.sum() < len(truth):
        raise ValueError(f"{int(truth.sum())} of {len(truth)} rows are positive: both classes are needed")
    mean, spread = _moments(rows, share)
    constant = spread < LEAST_SPREAD
    scale = np.where(constant, np.inf, spread)  # a constant feature becomes 0
    problem = _Problem(_scaled(rows, mean, scale), truth, share, l2)
    rate = float(share @ truth)
    theta = np.append(np.zeros(features.shape[1]), np.log(rate / (1 - rate)))
    if start is not None:
        theta = np.append(start.weights * np.where(constant, 0.0, spread), start.intercept + start.weights @ mean)
    loss, gradient, hessian = problem.at(theta)
    for _ in range(ITERATIONS):
        free = ~((theta <= 0) & (gradient > 0))
        free[-1] = True
        if np.abs(gradient[free]).max() < TOLERANCE:
            break
        step = np.zeros_like(theta)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        length = 1.0
        while length > SHORTEST_STEP:
            moved = theta - length * step
            moved[:-1] = np.maximum(moved[:-1], 0.0)
            tried = problem.at(moved)
            if tried[0] <= loss - DECREASE * float(gradient @ (theta - moved)):
                break
            length /= 2
        else:
            break  # at the limit of floating-point numbers
        theta, (loss, gradient, hessian) = moved, tried
    weights = np.where(constant, 0.0, theta[:-1] / scale)
    return Logistic(weights, float(theta[-1] - weights @ mean), spread)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The loss over standardised features, whose last column is 1 for the intercept."""

    rows: NDArray[np.float32]
    truth: NDArray[np.float64]
    share: NDArray[np.float64]
    l2: float

    def at(self, theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Loss, gradient and Hessian; the Hessian only guides the steps, and is made of products in float32."""
        shrink = np.append(np.full(len(theta) - 1, self.l2), 0.0)
        total, gradient = float(shrink @ theta**2) / 2, shrink * theta
        hessian = np.diag(shrink + LEAST_CURVATURE)
        for first in range(0, len(self.rows), ROWS):
            part = slice(first, first + ROWS)
            features, truth, share = self.rows[part], self.truth[part], self.share[part]
            exact = features.astype(np.float64)
            odds = exact @ theta
            probability = 1 / (1 + np.exp(-odds))
            total += float(share @ (np.logaddexp(0, odds) - truth * odds))
            gradient += (share * (probability - truth)) @ exact
            curvature = (share * probability * (1 - probability)).astype(np.float32)
            hessian += (features * curvature[:, None]).T @ features
        return total, gradient, hessian


def _scaled(rows: NDArray[np.float32], mean: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """Standardised features, with a column of 1 at the end."""
    scaled = np.ones((len(rows), rows.shape[1] + 1), np.float32)
    np.subtract(rows, mean, out=scaled[:, :-1], casting="same_kind")
    scaled[:, :-1] /= scale.astype(np.float32)
    return scaled


def _moments(rows: NDArray[np.float32], share: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean and standard deviation of each feature; `share` adds up to 1."""
    mean = np.zeros(rows.shape[1])
    for first in range(0, len(rows), ROWS):
        mean += share[first : first + ROWS] @ rows[first : first + ROWS].astype(np.float64)
    variance = np.zeros(rows.shape[1])
    for first in range(0, len(rows), ROWS):
        variance += share[first : first + ROWS] @ (rows[first : first + ROWS] - mean) ** 2
    return mean, np.sqrt(variance)
