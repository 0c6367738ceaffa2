"""Recipes: every threshold of a run, in TOML at the edge and frozen dataclasses inside.

A recipe file is complete, or `extends` another one and contains only the differences.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from .bounded import TextError, one_line, read_toml, unseen
from .errors import LpseError
from .identity import digest
from .recipe_names import old_names, with_first_names

Probability = Annotated[float, Ge(0), Le(1)]
Seconds = Annotated[float, Ge(0)]
PositiveSeconds = Annotated[float, Gt(0)]


_FAULTS = 8  # named in one message
_CHAIN = 16  # recipes that extend one another


class RecipeError(LpseError, ValueError):
    """A recipe that cannot be used; the message is one line that names the file and the key."""


@dataclass(frozen=True)
class ScoreWeight:
    """The weight of a track for a contaminant: weight * (logit(score) - logit(bias)) is added to its log-odds."""

    bias: Annotated[float, Gt(0), Le(0.999)]
    weight: Annotated[float, Gt(0)]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Suppression:
    """A track's weight against a contaminant: weight * (logit(score) - logit(floor)) is subtracted, if positive."""

    floor: Annotated[float, Gt(0), Le(0.999)]
    weight: Annotated[float, Gt(0)]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Contaminant:
    """The parameters by which one contaminant is fused, detected and kept out of cuts.

    `evidence` and `suppressed_by` map "detector.label" to their weights; the log-odds are averaged over `smoothing`
    seconds. An event begins where the probability reaches `onset` and lasts while it is at least `offset`. Events at
    most `merge_gap` seconds apart are merged; those under `min_duration` seconds are dropped. An event that reaches
    `reject_threshold` is cut away with `padding` seconds around it. All other time that reaches `review_threshold` must
    be reviewed by a person, with `review_padding` seconds around it.
    """

    smoothing: Seconds
    onset: Probability
    offset: Probability
    min_duration: Seconds
    merge_gap: Seconds
    reject_threshold: Probability
    padding: Seconds
    review_threshold: Probability
    review_padding: Seconds
    evidence: Mapping[str, ScoreWeight]
    suppressed_by: Mapping[str, Suppression]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not max(self.offset, self.review_threshold) <= self.onset <= self.reject_threshold:
            raise ValueError(
                f"onset {self.onset} must be at least offset {self.offset} and review_threshold "
                f"{self.review_threshold}, and at most reject_threshold {self.reject_threshold}"
            )
        if not self.evidence:
            raise ValueError("evidence must name at least one lane")


@dataclass(frozen=True)
class Silence:
    """Sound below `rms_dbfs` for `min_duration` seconds ends a span; `edge` of it may stay with the sound beside it."""

    rms_dbfs: Annotated[float, Le(0)]
    min_duration: PositiveSeconds
    edge: Seconds
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Artifacts:
    """Faults that end a span: dropouts and lost packets, with `padding` seconds around them.

    A dropout is sound that breaks off within milliseconds and comes back within two seconds; one shorter than
    `dropout_min` seconds only counts for the measure `dropouts`.
    """

    dropout_min: PositiveSeconds
    padding: Seconds
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Spans:
    """Lengths of cuts in seconds. Spans above `max_duration` are split at their quietest points.

    A second that is discarded so that its surroundings can be accepted costs as much as `discard_weight` seconds of
    review.
    """

    min_duration: PositiveSeconds
    max_duration: PositiveSeconds
    discard_weight: Annotated[float, Gt(1)]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.max_duration < 2 * self.min_duration:
            raise ValueError(
                f"max_duration {self.max_duration} s must be at least twice min_duration {self.min_duration} s: "
                "a longer span could not be split into cuts that are long enough"
            )


@dataclass(frozen=True)
class VideoPolicy:
    """With `require_video`, cuts of recordings without video are rejected."""

    require_video: bool
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class AudioPolicy:
    """Rules for audio that detectors do not score, because the mean of the channels of the chosen track lacks it.

    `mono_loss_db`: seconds in which the mean of the channels loses more of their level must be reviewed; None: no
    second by itself. `splices`: cuts over a place where the file's clock starts again.
    `other_tracks`: cuts of files with another audio track that is neither silent nor a comment, a description or a dub.
    `unarmed_channels`: channels that are silent from beginning to end, as recorders write them for inputs without a
    microphone; "accept" leaves them out of the rule for `dead_channels`.
    """

    mono_loss_db: float | None = None
    splices: Literal["accept", "review"] = "accept"
    other_tracks: Literal["accept", "review"] = "accept"
    unarmed_channels: Literal["accept", "review"] = "review"
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Bounds:
    """Ranges of a measure, ends included: outside `accept` a cut must be reviewed, outside `keep` it is rejected."""

    accept: tuple[float, float]
    keep: tuple[float, float]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        (low, high), (least, most) = self.accept, self.keep
        if not least <= low <= high <= most:
            raise ValueError(
                f"accept [{low}, {high}] must be a range from low to high inside keep [{least}, {most}]; "
                "-inf and inf leave a side open"
            )


@dataclass(frozen=True)
class Duplicates:
    """The rule for copies: recordings that share at least `min_overlap` seconds, and `min_share` of their time.

    `audio`, `picture`: the treatment of time that is shared by audio, or by video alone: "cut" removes it from the
    copy, "note" only records it.
    """

    min_overlap: PositiveSeconds
    min_share: Probability
    audio: Literal["cut", "note"]
    picture: Literal["cut", "note"]
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Features:
    """The encoders that `lpse extract` runs over accepted cuts, and the format of their vectors.

    `precision`: of the large networks; in "bfloat16" features differ by about 1 %. `dtype`: of the cache.
    """

    visual: Literal["efficientnet", "clip"] = "efficientnet"
    sync: Literal["motion", "synchformer"] = "motion"
    audio: Literal["melcodec_16k", "melcodec_44k", "vae_16k", "vae_44k"] = "melcodec_16k"
    text: Literal["minilm", "clip_text"] = "minilm"
    precision: Literal["float32", "bfloat16"] = "float32"
    dtype: Literal["float16", "float32"] = "float16"
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    @property
    def encoders(self) -> tuple[str, ...]:
        """All four, in the order of the streams."""
        return (self.visual, self.sync, self.audio, self.text)

    @property
    def weights(self) -> tuple[str, ...]:
        """The encoders whose weights a recipe may name. CLIP's towers share a file; the VAE's decoder has its own."""
        back = [f"bigvgan_{self.audio.removeprefix('vae_')}"] if self.audio.startswith("vae_") else []
        return tuple(dict.fromkeys("clip" if name == "clip_text" else name for name in (*self.encoders, *back)))


ContaminantName = Literal["speech", "singing", "music"]
Runtime = Literal["torch", "onnx", "int8"]
# the columns that can be bounded: those of records.Measured, and how far the ends of sound and picture lie apart
MeasureName = Literal[
    "loudness_lufs",
    "clipped",
    "bandwidth_hz",
    "dc",
    "dead_channels",
    "copied_channels",
    "mono_loss_db",
    "dropouts",
    "still_share",
    "scene_cuts",
    "av_difference",
]


@dataclass(frozen=True)
class Recipe:
    """All parameters of curation, and the encoders for the cuts it accepts.

    `detectors` score whole recordings; those of the `cascade` score only time that the others leave open.
    `contaminants` use only tracks of these. `weights`: by detector, the files (or hub ids) that the user provides; they
    do not change the recipe's hash. `runtimes`: by detector, the engine that runs it. With `video_analysis`, the video
    of surviving cuts is analyzed.
    """

    name: str
    description: str
    detectors: tuple[str, ...]
    cascade: tuple[str, ...]
    weights: Mapping[str, str]
    runtimes: Mapping[str, Runtime]
    contaminants: Mapping[ContaminantName, Contaminant]
    silence: Silence
    artifacts: Artifacts
    video_analysis: bool
    quality: Mapping[MeasureName, Bounds]
    duplicates: Duplicates
    spans: Spans
    decision: VideoPolicy
    features: Features = Features()
    audio: AudioPolicy = AudioPolicy()
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if "level" not in self.detectors:
            raise ValueError("detectors must include level: silence and dropouts are found by it")
        if twice := {name for name in self.all_detectors if self.all_detectors.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))}: named twice in detectors and cascade")
        if unknown := sorted(self.runtimes.keys() - set(self.all_detectors)):
            raise ValueError(f"runtimes.{unknown[0]}: the detectors are {', '.join(self.all_detectors)}")
        models = (*self.all_detectors, *self.features.weights)
        if unknown := sorted(self.weights.keys() - set(models)):
            raise ValueError(f"weights.{unknown[0]}: the detectors and encoders are {', '.join(models)}")
        for name, contaminant in self.contaminants.items():
            for lane in (*contaminant.evidence, *contaminant.suppressed_by):
                detector, dot, _ = lane.partition(".")
                if not dot or detector not in self.all_detectors:
                    raise ValueError(
                        f"contaminants.{name}: {lane!r} is not a track of the detectors {', '.join(self.all_detectors)}"
                    )

    @property
    def all_detectors(self) -> tuple[str, ...]:
        """All detectors, those that score whole recordings first."""
        return (*self.detectors, *self.cascade)

    def settings(self) -> dict[str, Any]:
        """All of it as TOML takes it: `parse_recipe` makes the same recipe of it."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.audio.mono_loss_db is None:  # TOML has no null
            del plain["audio"]["mono_loss_db"]
        return plain

    @cached_property
    def hash(self) -> str:
        """16 hex digits over everything that decides: no name or description, no places of weights, no features."""
        decisive = asdict(self)
        del decisive["name"], decisive["description"], decisive["weights"], decisive["features"]
        if self.audio == AudioPolicy():
            del decisive["audio"]  # a recipe without this section decides as before there was one
        decisive["quality"] = {
            name: [[str(end) for end in ends] for ends in (bounds.accept, bounds.keep)]  # JSON has no infinity
            for name, bounds in self.quality.items()
        }
        return digest("recipe", with_first_names(decisive))


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(str(files("manifests") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(source: str | Path) -> Recipe:
    """A recipe by shipped name or by path. Raises RecipeError naming the file and the key."""
    return parse_recipe(_resolved(source, ()), str(source))


def parse_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """A recipe from resolved values, checked; `source` is named in errors."""
    from pydantic import TypeAdapter, ValidationError

    if old := list(old_names(values)):
        raise RecipeError(f"{source}: {'; '.join(f'{key} is called {name} now' for key, name in old)}")
    try:
        return TypeAdapter(Recipe).validate_python(dict(values))
    except ValidationError as error:
        faults = [
            one_line(f"{'.'.join(str(part) for part in fault['loc']) or 'recipe'}: {fault['msg']}")
            for fault in error.errors(include_url=False, include_input=False)[:_FAULTS]
        ]
        more = f"; and {error.error_count() - _FAULTS} more" if error.error_count() > _FAULTS else ""
        raise RecipeError(f"{source}: {'; '.join(faults)}{more}") from error


def _resolved(source: str | Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The file's values laid over those of the recipe it extends."""
    shipped = shipped_recipes()
    path = shipped[str(source)] if str(source) in shipped else Path(source)
    shown = one_line(str(source))
    if len(seen) == _CHAIN:
        raise RecipeError(f"{shown}: more than {_CHAIN} recipes extend one another")
    try:
        if path.resolve() in seen:
            raise RecipeError(f"{shown}: extends itself")
        values = read_toml(path)
    except FileNotFoundError as error:
        by = f"{one_line(str(seen[-1]))}: extends: " if seen else ""
        raise RecipeError(f"{by}{shown}: no such recipe file, nor a shipped recipe ({', '.join(shipped)})") from error
    except (OSError, TextError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError(f"{shown}: {reason}") from error
    for key, text in _texts(values):
        if unfit := next((c for c in text if unseen(c)), None):
            raise RecipeError(f"{shown}: {one_line(key)}: {one_line(repr(text))} has the character {unfit!a}")
    if isinstance(weights := values.get("weights"), dict):
        values["weights"] = {name: _beside(path, named) for name, named in weights.items()}
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise RecipeError(f"{shown}: extends: must be the name or the path of a recipe")
    beside = parent if parent in shipped else path.parent / parent
    return _laid_over(_resolved(beside, (*seen, path.resolve())), values)


def _texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) of the names and texts in a recipe's values, without its description."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, key)
    elif isinstance(value, Mapping):
        for name, below in value.items():
            yield f"{key}.{name}".lstrip("."), name
            if (key, name) != ("", "description"):
                yield from _texts(below, f"{key}.{name}".lstrip("."))


def _beside(recipe: Path, named: object) -> object:
    """A weights file named relative to the recipe, as an absolute path; anything else (a hub id) stays as it is."""
    if not isinstance(named, str) or not named:
        return named
    try:
        path = recipe.parent / Path(named).expanduser()
        return str(path.absolute()) if path.exists() else named
    except (OSError, RuntimeError):  # too long for a path; a home folder of nobody
        return named


def _laid_over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _laid_over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
