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
from .contaminants import Contaminant as Contaminant
from .contaminants import Integrated as Integrated
from .contaminants import PositiveSeconds, Probability, Seconds
from .contaminants import ScoreWeight as ScoreWeight
from .contaminants import Suppression as Suppression
from .errors import LpseError
from .identity import digest
from .recipe_names import old_names, with_first_names

_FAULTS = 8  # named in one message
_CHAIN = 16  # recipes that extend one another


class RecipeError(LpseError, ValueError):
    """A recipe that cannot be used; the message is one line that names the file and the key."""


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


@dataclass(frozen=True)
class Integration:
    """The parameters of levels that depend on the whole recording; silent time is left out of them.

    The recording's own level of a track: of the means over each `own_level_seconds` of it, the one that a share
    `own_level_share` of them lies below; of segments, the lowest of at least that length. A rise is limited to `limit`
    log-odds, so that no track can outvote all others. `penalty`: of a change point, in variances of the track's noise
    times the logarithm of the number of seconds; 2 is the Bayesian information criterion.
    """

    own_level_seconds: Annotated[float, Ge(1), Le(3600)] = 20.0
    own_level_share: Annotated[float, Ge(0), Le(0.5)] = 0.05
    limit: Annotated[float, Gt(0), Le(20)] = 4.0
    penalty: Annotated[float, Gt(0), Le(1000)] = 2.0
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


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
    `contaminants` use only tracks of these, and evidence that depends on the whole recording only tracks of
    `detectors`. `weights`: by detector, the files (or hub ids) that the user provides; they do not change the recipe's
    hash. `runtimes`: by detector, the engine that runs it. With `video_analysis`, the video of surviving cuts is
    analyzed.
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
    integration: Integration = Integration()
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
            for track in contaminant.tracks:
                detector, dot, _ = track.partition(".")
                if not dot or detector not in self.all_detectors:
                    raise ValueError(
                        f"contaminants.{name}: {track!r} is not a track of the detectors "
                        f"{', '.join(self.all_detectors)}"
                    )
            for one in contaminant.integrated:
                detector = one.track.partition(".")[0]
                if one.relative and detector in self.cascade:
                    raise ValueError(
                        f"contaminants.{name}: integrated evidence of {one.track!r} depends on the whole recording, "
                        f"but the cascade scores only a part of it: move {detector} to detectors, or name a window "
                        "against nothing"
                    )

    @property
    def all_detectors(self) -> tuple[str, ...]:
        """All detectors, those that score whole recordings first."""
        return (*self.detectors, *self.cascade)

    @property
    def has_relative_evidence(self) -> bool:
        """True if a probability depends on levels of the whole recording."""
        return any(one.relative for contaminant in self.contaminants.values() for one in contaminant.integrated)

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
        # the same for integrated evidence and the section that only relative evidence uses
        if not self.has_relative_evidence:
            del decisive["integration"]
        for contaminant in decisive["contaminants"].values():
            for key in ("prior", "integrated"):
                if not contaminant[key]:
                    del contaminant[key]
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
