"""Settings of a training: TOML at the edge, frozen dataclasses inside, and the settings that may change on resuming."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

from features.encoders import Precision
from manifests.bounded import TextError, one_line, read_toml

from ..adapters import AdapterConfig
from ..errors import ModelError

TrainedPart = Literal["adapters", "both", "base"]

Count = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]

_STRICT: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), and the norm that gradients are clipped to.

    `base_lr` and `base_weight_decay` apply to a trained base, the others to adapters. `eps` is at least 1e-6 if a
    trained base computes in bfloat16, as in MMAudio.
    """

    lr: Positive = 1e-4
    base_lr: Positive = 1e-4
    weight_decay: NotNegative = 1e-2
    base_weight_decay: NotNegative = 1e-6
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.95
    eps: Positive = 1e-8
    clip_norm: Positive = 1.0
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class Schedule:
    """Learning rates over the steps: linear warm-up over `warmup` steps, then a schedule of a `kind`.

    "cosine" falls to `floor` of the rate at the last step; "step" multiplies by 0.1 at each of `drops`, shares
    of the steps after the warm-up; MMAudio's are 0.8 and 0.9.
    """

    kind: Literal["constant", "cosine", "step"] = "cosine"
    warmup: Annotated[int, Ge(0)] = 100
    floor: Share = 0.0
    drops: tuple[Share, Share] = (0.8, 0.9)
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def __post_init__(self) -> None:
        if self.drops[0] > self.drops[1]:
            raise ValueError(f"drops {list(self.drops)} must rise")


@dataclass(frozen=True)
class Times:
    """Times of the flow to train at: the logistic function of a normal variable (`model.flow`).

    A clip's loudness and timbre are decided in the first steps away from the noise, which `mean` 0, MMAudio's, seldom
    draws; training there alone makes the later steps worse. Validation uses 0 and 1.
    """

    mean: float = 0.0
    deviation: Positive = 1.0
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class Ends:
    """Weight in the loss of each of a clip's first and last `latents` latents, relative to the others.

    The network has less context for them, and they are so few that it learns slowly to remove all their noise, which is
    inaudible in single clips but audible at joins. Validation weights all latents equally.
    """

    weight: Annotated[float, Ge(1)] = 1.0
    latents: Count = 2
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class Validation:
    """Validation of the averaged weights `every` steps (0: never), on up to `clips` clips of the split `split`."""

    every: Annotated[int, Ge(0)] = 500
    clips: Count = 256
    split: str = "val"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training except the features and the initial weights.

    `trained`: adapters on a frozen base, both, or the base alone. `batch` clips per step, over all processes together,
    in groups of up to `clips_a_cut` clips of one cut. Each condition is dropped with probability `null`. `precision` to
    which a frozen base is converted, and in which a trained base computes. `checkpointing` recomputes activations
    instead of storing them. `splits` to train on. `ema`: the decay of the averaged weights. With `require_video`, cuts
    without video are left out; else their visual and sync conditions are dropped. `workers` processes read ahead for a
    GPU.
    """

    trained: TrainedPart = "adapters"
    seed: Annotated[int, Ge(0)] = 0
    steps: Count = 5000
    batch: Count = 16
    clips_a_cut: Count = 4
    precision: Precision = "float32"
    checkpointing: bool = False
    null: Share = 0.1
    ema: Annotated[float, Ge(0), Lt(1)] = 0.999
    require_video: bool = True
    splits: Annotated[tuple[str, ...], Len(1)] = ("train",)
    log_every: Count = 10
    checkpoint_every: Count = 200
    workers: Annotated[int, Ge(0)] = 2
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    times: Times = Times()
    ends: Ends = Ends()
    validation: Validation = Validation()
    adapters: AdapterConfig = field(default_factory=AdapterConfig)
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    @property
    def trains_base(self) -> bool:
        """True if the base is trained."""
        return self.trained != "adapters"

    @property
    def has_adapters(self) -> bool:
        """True if adapters are trained."""
        return self.trained != "base"

    def values(self) -> dict[str, Any]:
        """The settings as plain values for TOML and JSON; `parse_settings` reads them."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def load_settings(path: Path | str | None = None, **changed: Any) -> TrainingSettings:
    """The settings in a TOML file, or the defaults; `changed` values that are not None override the file's.

    Raises ModelError, naming file and key, for unknown settings and values out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = read_toml(Path(path))
        except (OSError, TextError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ModelError(f"{path}: {reason}") from error
    values |= {name: value for name, value in changed.items() if value is not None}
    return parse_settings(values, "settings" if path is None else str(path))


def parse_settings(values: Mapping[str, Any], source: str) -> TrainingSettings:
    """Settings from plain values, validated; errors name `source`."""
    from pydantic import TypeAdapter, ValidationError

    adapters = values.get("adapters")
    known = {f.name for f in fields(AdapterConfig)}
    if isinstance(adapters, Mapping) and (unknown := sorted(adapters.keys() - known)):
        raise ModelError(f"{source}: adapters.{unknown[0]}: there are {', '.join(sorted(known))}")
    try:
        return TypeAdapter(TrainingSettings).validate_python(dict(values))
    except (ValidationError, ModelError) as error:
        if isinstance(error, ModelError):
            raise ModelError(f"{source}: adapters: {error}") from error
        faults = [
            one_line(f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}") for fault in error.errors()[:8]
        ]
        raise ModelError(f"{source}: {'; '.join(faults)}") from error


def to_toml(settings: TrainingSettings) -> str:
    """Every setting, as the text of a file for `load_settings`."""
    import tomli_w

    return tomli_w.dumps(settings.values())


# Settings that do not affect the weights, and may change when a training is resumed.
_FREE = {"workers", "checkpoint_every"}


def first_difference(begun: TrainingSettings, wanted: TrainingSettings) -> str | None:
    """The first setting that differs and must not, as "name old, not new"; None without one."""
    free = _FREE | ({"steps"} if begun.schedule.kind == "constant" else set())
    for name, before, now in _pairs(begun, wanted):
        if before != now and name not in free:
            return f"{name} {before}, not {now}"
    return None


def _pairs(begun: Any, wanted: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for one in fields(begun):
        before, now = getattr(begun, one.name), getattr(wanted, one.name)
        if is_dataclass(before):
            yield from _pairs(before, now, f"{prefix}{one.name}.")
        else:
            yield f"{prefix}{one.name}", before, now
