"""The settings and the result of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from manifests.recipe import Contaminant, ContaminantName, Integration, Recipe

from .calibration import Calibration
from .thresholds import Accepted, Choice


@dataclass(frozen=True)
class FitSettings:
    """The parameters of a fit.

    `folds`: of the cross-validation, by recording. `l2`: the strengths of regularisation that are tried. `least_odds`:
    terms that move the log-odds by less for one standard deviation of their level, in the fit to all recordings or in
    one of the folds, are removed. `edge_seconds`: rows nearer to an edge of an event do not count. `step_seconds`:
    between rows. `contaminated_share`: of the accepted time, at most. `reject_precision`: contaminated share of the
    time that is excluded, at least. `seed`: of the folds.
    """

    folds: int = 5
    l2: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    least_odds: float = 0.05
    edge_seconds: float = 0.5
    step_seconds: float = 0.2
    contaminated_share: float = 0.003
    reject_precision: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class FittedContaminant:
    """A fitted contaminant and its figures, all measured on recordings held out of the weights.

    `l2`: the strength chosen; `losses`: held-out log-loss in nats under each strength. `kept`, `candidates`: numbers of
    terms.
    """

    choice: Choice
    calibration: Calibration
    l2: float
    losses: Mapping[float, float]
    kept: int
    candidates: int

    @property
    def contaminant(self) -> Contaminant:
        """The parameters for a recipe."""
        return self.choice.contaminant


@dataclass(frozen=True)
class FitData:
    """The data of a fit: `items` is a digest of names, durations and labels; hours of each contaminant.

    `left_out`: (recording, reason) of those without a row.
    """

    recordings: int
    hours: float
    contaminated_hours: Mapping[str, float]
    items: str
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FusionFit:
    """Fitted contaminants, the accepted time under all of them together, and the data they were fitted to."""

    contaminants: Mapping[ContaminantName, FittedContaminant]
    integration: Integration
    accepted: Accepted
    settings: FitSettings
    data: FitData
    about: Mapping[str, str] = field(default_factory=dict)

    def recipe(self, base: Recipe) -> Recipe:
        """The base with the fitted contaminants; all others stay."""
        changed = {**base.contaminants, **{name: one.contaminant for name, one in self.contaminants.items()}}
        return replace(base, contaminants=changed, integration=self.integration)

    def record(self) -> dict[str, Any]:
        """All numbers as plain values for TOML or JSON; `about` is what the caller adds, such as detector versions."""
        figures = {
            str(name): {
                "l2": one.l2,
                "terms": one.kept,
                "candidates": one.candidates,
                "met": one.choice.met,
                "accepted": _plain(one.choice.accepted),
                "precision": _plain(one.choice.precision),
                "f1": _plain(one.choice.f1),
                "held_out_log_loss": {f"{l2:g}": _plain(loss) for l2, loss in one.losses.items()},
                "calibration": _plain(one.calibration),
            }
            for name, one in self.contaminants.items()
        }
        return {
            "about": dict(self.about),
            "data": _plain(self.data),
            "settings": _plain(self.settings),
            "integration": _plain(self.integration),
            "accepted": _plain(self.accepted),
            "figures": figures,
            "contaminants": {str(name): _plain(one.contaminant) for name, one in self.contaminants.items()},
        }


def _plain(one: Any) -> Any:
    """A dataclass as values that TOML and JSON take: lists for tuples, floats of six digits."""
    values = asdict(one) if hasattr(one, "__dataclass_fields__") else one
    if isinstance(values, Mapping):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return float(f"{values:.6g}") if isinstance(values, float) else values
