"""Estimates annotators' error rates and true classes from answers alone: the model of Dawid and Skene, fitted with EM.

A. P. Dawid and A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied
Statistics 28 (1979), 20-28.

Each item i has one true class z_i, drawn with the class priors p. Annotator a answers an item of class k with l with
probability c[a, k, l]: the annotator's confusion matrix, rows summing to 1. Given the class, answers are independent.
So the answers x_i of an item, pairs (a, l), have the probability

    P(x_i) = sum_k p_k prod_(a, l) c[a, k, l]

and the log-likelihood is the sum of log P(x_i). Its maximum has no closed form, but if the classes were known, p and c
would be frequencies. EM iterates: with t[i, k] = P(z_i = k | x_i) under the present p and c,

    E:  log t[i, k] = log p_k + sum_(a, l) log c[a, k, l] - log P(x_i)
    M:  p_k ~ s + sum_i t[i, k]          c[a, k, l] ~ s + sum of t[i, k] over the items that a answered l

M maximises Q = sum_ik t[i, k] log P(x_i, z_i = k), plus s times the logs of all p and c if these have a Dirichlet prior
with all parameters 1 + s. The objective, the log-likelihood plus the same logs, is Q less sum_ik t[i, k] log P(z_i = k
| x_i); by Gibbs' inequality no parameters make that sum larger than those from which t was computed. So each round
takes nothing from the second part and may add to the first: the objective never falls.

A row c[a, k] without any answer (s = 0) has no effect on Q; it is set to uniform.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EmItem = TypeVar("EmItem", bound=Hashable)


@dataclass(frozen=True)
class Fit(Generic[EmItem]):
    """The fitted model. Items and annotators are in the order in which they first occur in the answers.

    `posteriors` (item, class), `priors` (class,), `confusion` (annotator, true class, answer): probabilities, the last
    axis sums to 1. `objective`: after each round the log-likelihood, plus `smoothing` times the sum of the logs of all
    priors and confusions. `converged`: True if it stopped growing within the allowed rounds.
    """

    items: tuple[EmItem, ...]
    annotators: tuple[str, ...]
    classes: tuple[str, ...]
    posteriors: Floats
    priors: Floats
    confusion: Floats
    objective: tuple[float, ...]
    converged: bool


def fit_dawid_skene(
    answers: Sequence[tuple[EmItem, str, str]],
    classes: Sequence[str],
    *,
    smoothing: float = 0.0,
    tolerance: float = 1e-12,
    max_rounds: int = 5000,
) -> Fit[EmItem]:
    """Fit the model to `answers`, triples (item, annotator, class); an annotator may answer an item repeatedly.

    Starts from each item's shares of answers, a soft majority, so the same answers always give the same fit: a local
    maximum near the majority, in which class names keep their meaning. `smoothing`: added to every count in the M step;
    0 is maximum likelihood, more prevents certainty from few answers. Rounds end when the objective grows by at most
    `tolerance` per answer; a negative value runs all rounds. Raises ValueError for no answers, an unknown class, a
    negative smoothing.
    """
    if not answers:
        raise ValueError("no answers to fit the model of Dawid and Skene to")
    if not 0 <= smoothing < np.inf:
        raise ValueError(f"smoothing is {smoothing}, must be 0 or more and finite")
    if max_rounds < 1:
        raise ValueError(f"max_rounds is {max_rounds}, must be 1 or more")
    items = tuple(dict.fromkeys(item for item, _, _ in answers))
    annotators = tuple(dict.fromkeys(name for _, name, _ in answers))
    item_at, annotator_at = _positions(items), _positions(annotators)
    class_at = _positions(tuple(classes))
    if unknown := {answer for _, _, answer in answers} - class_at.keys():
        raise ValueError(f"answer {min(unknown)!r} is not among the classes {', '.join(class_at)}")
    i = np.array([item_at[item] for item, _, _ in answers])
    a = np.array([annotator_at[name] for _, name, _ in answers])
    x = np.array([class_at[answer] for _, _, answer in answers])

    posteriors = np.zeros((len(items), len(class_at)))
    np.add.at(posteriors, (i, x), 1.0)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    objective: list[float] = []
    converged = False
    while len(objective) < max_rounds and not converged:
        # M
        priors = _shares(posteriors.sum(axis=0) + smoothing)
        counts = np.full((len(annotators), len(class_at), len(class_at)), smoothing)
        np.add.at(counts, (a, x), posteriors[i])
        confusion = _shares(counts.transpose(0, 2, 1))
        # E; an impossible class has the log -inf, and stays impossible
        with np.errstate(divide="ignore"):
            log_priors, log_confusion = np.log(priors), np.log(confusion)
        joint = np.tile(log_priors, (len(items), 1))
        np.add.at(joint, i, log_confusion[a, :, x])
        # the class that t gave the highest probability is possible after M: no row is all -inf
        top = joint.max(axis=1, keepdims=True)
        log_evidence = top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True))
        posteriors = np.exp(joint - log_evidence)
        prior_term = smoothing * (log_priors.sum() + log_confusion.sum()) if smoothing else 0.0
        objective.append(float(log_evidence.sum() + prior_term))
        converged = len(objective) > 1 and objective[-1] - objective[-2] <= tolerance * len(answers)
    return Fit(
        items=items,
        annotators=annotators,
        classes=tuple(class_at),
        posteriors=posteriors,
        priors=priors,
        confusion=confusion,
        objective=tuple(objective),
        converged=converged,
    )


def _positions(names: tuple[EmItem, ...]) -> dict[EmItem, int]:
    return {name: position for position, name in enumerate(names)}


def _shares(counts: Floats) -> Floats:
    """Counts as shares of their last axis; uniform where all are 0."""
    totals = counts.sum(axis=-1, keepdims=True)
    return np.where(totals > 0, counts / np.where(totals > 0, totals, 1.0), 1.0 / counts.shape[-1])
