"""Settings of a training: TOML at the edge, frozen dataclasses inside, and what may change when one goes on."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

from features.encoders import Precision

from ..adapters import AdapterConfig
from ..errors import ModelError

Trained = Literal["adapters", "both", "base"]

Count = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]

_STRICT: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), and the norm that gradients are clipped to.

    `base_lr` and `base_weight_decay` are those of a base that is trained, the others those of adapters. `eps` is at
    least 1e-6 where a trained base computes in bfloat16, as MMAudio has it.
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
    """Learning rates over the steps: a straight rise over `warmup` steps, then as `kind` says.

    "cosine" falls to `floor` of the rate at the last step; "step" multiplies by 0.1 at each of `drops`, which are
    shares of the steps after the warm-up; MMAudio's are 0.8 and 0.9.
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
    """At which times of the flow training looks: the logistic function of a normal variable (`model.flow`).

    A clip's loudness and colour are decided in the first steps away from the noise, which `mean` 0, MMAudio's, seldom
    looks at; looking there alone makes the later steps worse. Validation stays at 0 and 1.
    """

    mean: float = 0.0
    deviation: Positive = 1.0
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class Ends:
    """How much more than the others a clip's first and last `latents` latents count in the loss, each.

    A network sees less about them, and they are so few that it is long in learning to take all their noise away: in
    single clips nobody hears that, at joins everybody does. Validation counts all alike.
    """

    weight: Annotated[float, Ge(1)] = 1.0
    latents: Count = 2
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class Validation:
    """Every so many steps (0: never) the averaged weights are tried on up to `clips` clips of the split `split`."""

    every: Annotated[int, Ge(0)] = 500
    clips: Count = 256
    split: str = "val"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training but the features and the weights it begins with.

    `trained`: adapters on a frozen base, both, or the base alone. `batch` clips a step, over all processes together,
    in groups of up to `clips_a_cut` clips of one cut. Each null condition stands in with probability `null`.
    `precision`: what a frozen base is brought into, and what a trained one computes in. `checkpointing` computes the
    blocks twice instead of keeping them. `splits`: what is trained on. `ema`: the decay of the averaged weights. With
    `require_video`, cuts without pictures are left out; else they come with null pictures. `workers` processes read
    ahead for a GPU.
    """

    trained: Trained = "adapters"
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
        """Whether the base changes."""
        return self.trained != "adapters"

    @property
    def has_adapters(self) -> bool:
        """Whether there are adapters."""
        return self.trained != "base"

    def values(self) -> dict[str, Any]:
        """All of it as TOML and JSON take it: `parse_settings` makes the same settings of it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def load_settings(path: Path | None, **changed: Any) -> TrainingSettings:
    """The settings in a TOML file, or the usual ones; `changed` values that are not None come before the file's.

    Raises ModelError, naming file and key, for what is no setting or out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ModelError(f"{path}: {reason}") from error
    values |= {name: value for name, value in changed.items() if value is not None}
    return parse_settings(values, "settings" if path is None else str(path))


def parse_settings(values: Mapping[str, Any], source: str) -> TrainingSettings:
    """Settings from plain values, checked; `source` is named in errors."""
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
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise ModelError(f"{source}: {'; '.join(faults)}") from error


def to_toml(settings: TrainingSettings) -> str:
    """Every setting, as a file that `load_settings` takes."""
    import tomli_w

    return tomli_w.dumps(settings.values())


# What decides nothing about the weights, and may be another when a training goes on.
_FREE = {"workers", "checkpoint_every"}


def first_difference(begun: TrainingSettings, asked: TrainingSettings) -> str | None:
    """The first setting in which two trainings differ and must not, as "name old, not new"; None where one is none."""
    free = _FREE | ({"steps"} if begun.schedule.kind == "constant" else set())
    for name, before, now in _pairs(begun, asked):
        if before != now and name not in free:
            return f"{name} {before}, not {now}"
    return None


def _pairs(begun: Any, asked: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for one in fields(begun):
        before, now = getattr(begun, one.name), getattr(asked, one.name)
        if is_dataclass(before):
            yield from _pairs(before, now, f"{prefix}{one.name}.")
        else:
            yield f"{prefix}{one.name}", before, now
