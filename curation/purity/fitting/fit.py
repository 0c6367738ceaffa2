"""The fit: weights by non-negative logistic regression, cross-validated by recording, then thresholds.

Calibration and thresholds are measured on probabilities of models that were fitted without the recording: each fold's
model is a contaminant as the recipe has it, and predicts by the same code as a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from manifests.identity import digest
from manifests.recipe import Contaminant, ContaminantName, Integrated, Recipe, Suppression

from ...decision.fusion import HOP, Grids, contaminant_bounds
from ...decision.log_odds import CERTAIN, logit
from .calibration import Calibration, calibration
from .logistic import Logistic, fit_logistic
from .recordings import FitError, LabelledRecording, Rows, far_from_edges, levels_of, rows_of
from .result import FitData, FitSettings, FittedContaminant, FusionFit
from .thresholds import Accepted, Choice, Curve, Predicted, accepted, threshold_curve

BUDGETS = (1.0, 0.7, 0.5, 0.35, 0.25, 0.1, 0.0)
"""Shares of the contaminated share that a contaminant alone may have, so that all of them together keep it."""
MOST_BIAS = 0.999


def fit_fusion(
    recordings: Sequence[LabelledRecording],
    candidates: Mapping[ContaminantName, Sequence[Integrated]],
    recipe: Recipe,
    *,
    suppressors: Mapping[ContaminantName, Mapping[str, float]] | None = None,
    settings: FitSettings | None = None,
    about: Mapping[str, str] | None = None,
) -> FusionFit:
    """Fit the contaminants in `candidates` to labelled recordings; each recording counts the same.

    `candidates`: the levels that may become integrated evidence; their weights do not count. `suppressors`: by
    contaminant, floor by track, what may suppress it. The recipe gives everything else: the parameters of levels and
    spans, and the lengths, gaps and paddings of events. Raises FitError, in one line, for recordings or candidates that
    nothing can be fitted to.
    """
    chosen = settings or FitSettings()
    _check(recordings, candidates)
    floors = {name: dict((suppressors or {}).get(name, {})) for name in candidates}
    fits = {
        name: _weights(recordings, name, tuple(candidates[name]), floors[name], recipe, chosen) for name in candidates
    }
    predicted = [
        Predicted(one.name, one.duration, {name: fits[name].tracks[number] for name in fits}, one.truth)
        for number, one in enumerate(recordings)
    ]
    curves = {name: _curve(fits[name], predicted, recordings, name, recipe, chosen) for name in fits}
    choices, together = _choose(curves, predicted, recipe, chosen.contaminated_share)
    reasons = sorted({(recordings[number].name, reason) for one in fits.values() for number, reason in one.left_out})
    return FusionFit(
        contaminants={
            name: FittedContaminant(
                choices[name],
                _calibration(one, recordings, name, chosen),
                one.l2,
                one.losses,
                len(one.contaminant.integrated) + len(one.contaminant.suppressed_by),
                len(candidates[name]) + len(floors[name]),
            )
            for name, one in fits.items()
        },
        integration=recipe.integration,
        accepted=together,
        settings=chosen,
        data=_data(recordings, list(fits), tuple(reasons)),
        about=dict(about or {}),
    )


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weights of a contaminant, and each recording's probabilities by the model that was fitted without it."""

    contaminant: Contaminant
    tracks: Sequence[NDArray[np.float32]]
    l2: float
    losses: Mapping[float, float]
    left_out: tuple[tuple[int, str], ...]


def _weights(
    recordings: Sequence[LabelledRecording],
    name: ContaminantName,
    candidates: tuple[Integrated, ...],
    suppressors: Mapping[str, float],
    recipe: Recipe,
    settings: FitSettings,
) -> _Weights:
    # refuses relative evidence of the cascade and tracks of no detector, as a recipe does
    base = recipe.contaminants[name]
    try:
        suppressed = {track: Suppression(floor, 1.0) for track, floor in suppressors.items()}
        asked = replace(base, evidence={}, suppressed_by=suppressed, integrated=candidates)
        recipe = replace(recipe, contaminants={**recipe.contaminants, name: asked})
    except ValueError as error:
        raise FitError(str(error)) from error
    rows = rows_of(
        recordings, name, candidates, suppressors, recipe,
        step_seconds=settings.step_seconds, edge_seconds=settings.edge_seconds,
    )  # fmt: skip
    folds = _folds(recordings, rows, name, settings)
    fold_of = folds[rows.recording]
    losses: dict[float, float] = {}
    models: dict[float, list[Logistic]] = {}
    nearest: list[Logistic | None] = [None] * (int(folds.max()) + 1)
    for l2 in sorted(settings.l2, reverse=True):  # from the strongest on: each is near the one before
        loss, models[l2] = 0.0, []
        for fold, near in enumerate(nearest):
            held = np.where(fold_of == fold, rows.weights, 0.0)
            models[l2].append(_fitted(rows, rows.weights - held, l2, near))
            odds = models[l2][-1].log_odds(rows.features)
            loss += float(held @ (np.logaddexp(0, odds) - rows.labels * odds))
        losses[l2], nearest = loss / float(rows.weights.sum()), [*models[l2]]
    l2 = min(losses, key=lambda one: losses[one])
    whole = _fitted(rows, rows.weights, l2, models[l2][0])
    # a weight that rests on a few recordings vanishes without them
    weakest = np.min([one.weights * one.spread for one in (whole, *models[l2])], axis=0)
    kept = np.flatnonzero(weakest >= settings.least_odds)
    if not len(kept[kept < len(candidates)]):
        raise FitError(f"{name}: no candidate has a weight above 0: none of its levels rises with the contaminant")
    few = replace(rows, features=rows.features[:, kept])
    neutral = _neutral(few)
    terms = [candidates[one] for one in kept if one < len(candidates)]
    floors = {track: floor for at, (track, floor) in enumerate(suppressors.items(), len(candidates)) if at in kept}

    def contaminant(weights: NDArray[np.float64]) -> Contaminant:
        return _contaminant(name, base, terms, floors, _fitted(few, weights, l2), neutral)

    held_out = [contaminant(np.where(fold_of == fold, 0.0, few.weights)) for fold in range(len(nearest))]
    return _Weights(
        contaminant(few.weights),
        [_track(one, held_out[max(int(folds[number]), 0)], recipe) for number, one in enumerate(recordings)],
        l2,
        losses,
        tuple((number, f"no scored row for {name}") for number in np.flatnonzero(folds < 0).tolist()),
    )


def _fitted(rows: Rows, weights: NDArray[np.float64], l2: float, start: Logistic | None = None) -> Logistic:
    return fit_logistic(rows.features, rows.labels, weights, l2, start)


def _folds(recordings: Sequence[LabelledRecording], rows: Rows, name: str, settings: FitSettings) -> NDArray[np.int64]:
    """The fold of each recording, -1 without rows; the rest of each fold has time with and without the contaminant.

    Raises FitError for fewer than two recordings of either kind.
    """
    weights = np.bincount(rows.recording, rows.weights, len(recordings))
    dirty = np.bincount(rows.recording, rows.weights * rows.labels, len(recordings))
    clean = int(np.count_nonzero(weights - dirty > 1e-9))
    having = int(np.count_nonzero(dirty))
    if having < 2 or clean < 2:
        raise FitError(f"{name}: {having} recordings have it, {clean} have time without it; two of each are needed")
    # by their share of it, so that each fold has as much
    order = sorted(
        np.flatnonzero(weights).tolist(),
        key=lambda at: (dirty[at], digest("fold", settings.seed, recordings[at].name)),
    )
    folds = np.full(len(recordings), -1, np.int64)
    number = max(2, min(settings.folds, having, clean))
    folds[order] = np.arange(len(order)) % number
    return folds


def _neutral(rows: Rows) -> NDArray[np.float64]:
    """The level of each term halfway between its means with and without the contaminant."""
    means = []
    for inside in (rows.labels, ~rows.labels):
        share = np.where(inside, rows.weights, 0.0)
        means.append(share @ rows.features / share.sum())
    return np.asarray((means[0] + means[1]) / 2, np.float64)


def _contaminant(
    name: str,
    base: Contaminant,
    terms: Sequence[Integrated],
    floors: Mapping[str, float],
    model: Logistic,
    neutral: NDArray[np.float64],
) -> Contaminant:
    """A contaminant of a model over the terms and suppressors; terms of weight 0 are left out.

    The intercept is divided into the neutral point of each term and a prior.
    """
    weights = [round(float(weight), 4) for weight in model.weights]
    prior, integrated = model.intercept, []
    for one, weight, middle in zip(terms, weights, neutral.tolist(), strict=False):
        if not weight:
            continue
        if one.against == "recording":
            point = round(middle, 3)
            integrated.append(replace(one, weight=weight, bias=0.5, neutral=point))
        else:
            bias = float(f"{min(max(1 / (1 + np.exp(-middle)), CERTAIN), MOST_BIAS):.3g}")
            point = float(logit(bias))
            integrated.append(replace(one, weight=weight, bias=bias, neutral=0.0))
        prior += weight * point
    if not integrated:
        raise FitError(f"{name}: without some of the recordings all weights are 0: more recordings are needed")
    suppressed = zip(floors.items(), weights[len(terms) :], strict=True)
    return replace(
        base,
        prior=round(float(prior), 4),
        evidence={},
        suppressed_by={track: Suppression(floor, weight) for (track, floor), weight in suppressed if weight},
        integrated=tuple(integrated),
    )


def _track(recording: LabelledRecording, contaminant: Contaminant, recipe: Recipe) -> NDArray[np.float32]:
    """The probability of a contaminant on the grid, by the code of a run; NaN where unscored."""
    levels = levels_of(recording, recipe)
    low, high = contaminant_bounds(recording.scores, contaminant, recording.count, Grids(), levels)
    return low if low is high else np.where(low == high, low, np.float32(np.nan))


def _cells(
    fit: _Weights, recordings: Sequence[LabelledRecording], name: str, settings: FitSettings
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities, labels, weights by time and weights by recording, of cells far from edges, of shape (rows,)."""
    every = max(1, round(settings.step_seconds / HOP))
    left_out = {number for number, _ in fit.left_out}
    found = []
    for number, one in enumerate(recordings):
        track = fit.tracks[number]
        used = far_from_edges(one, name, settings.edge_seconds) & ~np.isnan(track)
        used &= np.arange(one.count) % every == every // 2
        if number not in left_out and used.any():
            share = np.full(int(used.sum()), 1.0)
            found.append((track[used].astype(np.float64), one.truth[name].mask(HOP, one.count)[used], share))
    by_recording = [share / len(share) for *_, share in found]
    probability, labels, weights = (np.concatenate([one[part] for one in found]) for part in range(3))
    return probability, labels.astype(np.bool_), weights, np.concatenate(by_recording)


def _calibration(
    fit: _Weights, recordings: Sequence[LabelledRecording], name: str, settings: FitSettings
) -> Calibration:
    probability, labels, _, by_recording = _cells(fit, recordings, name, settings)
    return calibration(probability, labels, by_recording)


def _curve(
    fit: _Weights,
    predicted: Sequence[Predicted],
    recordings: Sequence[LabelledRecording],
    name: str,
    recipe: Recipe,
    settings: FitSettings,
) -> Curve:
    cells = _cells(fit, recordings, name, settings)[:3]
    return threshold_curve(predicted, name, fit.contaminant, recipe.spans, cells, settings.reject_precision)


def _choose(
    curves: Mapping[ContaminantName, Curve], predicted: Sequence[Predicted], recipe: Recipe, share: float
) -> tuple[dict[ContaminantName, Choice], Accepted]:
    """The choice of each contaminant, and the figures of all together, which keep the share if they can."""
    for budget in BUDGETS:
        choices = {name: curve.best(budget * share) for name, curve in curves.items()}
        together = accepted(predicted, {name: one.contaminant for name, one in choices.items()}, recipe.spans)
        if together.contaminated <= share:
            break
    return {name: replace(one, met=one.accepted.contaminated <= share) for name, one in choices.items()}, together


def _check(recordings: Sequence[LabelledRecording], candidates: Mapping[ContaminantName, Sequence[Integrated]]) -> None:
    names = [one.name for one in recordings]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise FitError(f"{twice}: the name of two recordings")
    if not candidates:
        raise FitError("candidates name no contaminant")
    for one in recordings:
        if missing := sorted(set(candidates) - set(one.truth)):
            raise FitError(f"{one.name}: truth does not name {missing[0]}; an empty timeline means that it has none")


def _data(
    recordings: Sequence[LabelledRecording], names: Sequence[str], left_out: tuple[tuple[str, str], ...]
) -> FitData:
    hours = {
        str(name): round(sum(one.truth[name].crop(one.whole).duration for one in recordings) / 3600, 4)
        for name in names
    }
    items = digest("fusion", sorted(one.key() for one in recordings))
    return FitData(len(recordings), round(sum(one.duration for one in recordings) / 3600, 4), hours, items, left_out)
