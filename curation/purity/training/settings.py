"""Settings of a training run, with defaults; a TOML file overrides them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from manifests.bounded import read_toml
from manifests.errors import LpseError

from ..mixing.scene import MixRules
from ..network.network import Sizes


class SettingsError(LpseError, ValueError):
    """Settings that cannot be used; the message names the file and the key."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a run: with the same pool and settings, the same weights.

    `start`: weights to begin with: of a YAMNet body, of a finished run ("run"), or "random". `frozen`: pairs
    of the body's convolutions that never change.
    `rounds`: after each equal part of the steps the sources are scored, and the worst false alarms come back with up to
    `hard_factor` times their weight. Learning rates are the peaks of a cosine after `warmup` steps.
    `annotated`: share of scenes from people's annotations, where there are any.
    `validation_pure`, `validation_each`: clips without contamination, and per task.
    """

    seed: int = 1
    steps: int = 1200
    batch: int = 8
    frames: int = 256
    start: Literal["yamnet", "run", "random"] = "yamnet"
    frozen: int = 4
    learning_rate: float = 2e-3
    body_learning_rate: float = 4e-4
    weight_decay: float = 1e-2
    warmup: int = 60
    average: float = 0.995
    level_weight: float = 0.1
    rounds: int = 3
    annotated: float = 0.25
    hard_factor: float = 8.0
    validate_every: int = 100
    validation_pure: int = 96
    validation_each: int = 24
    checkpoint_every: int = 25
    sizes: Sizes = field(default_factory=Sizes)
    mix: MixRules = field(default_factory=MixRules)
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


def load_settings(path: Path | None) -> TrainSettings:
    """The settings of a TOML file over the defaults. Raises SettingsError naming the key."""
    from pydantic import TypeAdapter, ValidationError

    values = {} if path is None else read_toml(path)
    try:
        return TypeAdapter(TrainSettings).validate_python(values)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise SettingsError(f"{path}: {key}: {fault['msg']}") from error
