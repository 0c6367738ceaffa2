"""The description of a cache: the encoder of each stream, and the arrays that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from manifests.bounded import one_line, read_json
from manifests.files import write_beside
from manifests.schema import CorpusError

from ..encoders.base import CLIP_SECONDS, EncoderSpec

FORMAT = 1
"""Version of the layout. A higher one is refused: its rows may mean something else."""

DType = Literal["float16", "float32"]
Shape = tuple[int, ...]
_LINE = 5000  # characters of a message; a path has up to 4096
_MOST_VALUES = 1 << 24  # of an array; the largest encoder gives 2^18
ANY_LENGTH = -1
"""First size of a whole sequence, whose number of vectors depends on the cut."""


class CacheError(CorpusError):
    """A cache, or features for a cache, that this program cannot use; the message is one line."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(" ".join(text.splitlines()), _LINE))


@dataclass(frozen=True)
class StreamSpec:
    """The encoder of a stream: `rate` vectors per second (None for text), `length` vectors per clip or caption."""

    encoder: str
    version: str
    rate: float | None
    dimension: int
    length: int

    def __post_init__(self) -> None:
        if type(self.dimension) is not int or type(self.length) is not int:
            raise TypeError(
                f"{self.encoder!r}: {self.length!r} x {self.dimension!r} values; both must be whole numbers"
            )
        if self.dimension < 1 or self.length < 1 or self.dimension * self.length > _MOST_VALUES:
            sizes = f"{self.length} x {self.dimension} values"
            raise CacheError(f"{self.encoder}: {sizes}; both must be at least 1, their product at most {_MOST_VALUES}")

    @classmethod
    def of(cls, encoder: EncoderSpec) -> StreamSpec:
        """The part of an encoder's description that a cache stores."""
        return cls(encoder.name, encoder.version, encoder.rate, encoder.dimension, encoder.length)

    @property
    def shape(self) -> Shape:
        """Shape of one clip or caption: (length, dimension)."""
        return self.length, self.dimension


@dataclass(frozen=True)
class CacheSpec:
    """The streams of a cache; None for a missing one."""

    audio: StreamSpec
    visual: StreamSpec | None = None
    sync: StreamSpec | None = None
    text: StreamSpec | None = None
    dtype: DType = "float16"
    clip_seconds: int = CLIP_SECONDS

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Number type of every array, little-endian as in Parquet."""
        return np.dtype(self.dtype).newbyteorder("<")

    def clip_shapes(self) -> dict[str, Shape]:
        """Shapes of the arrays of a clip, by column."""
        return {
            **self._video({"visual": "visual", "sync": "sync"}),
            "mean": self.audio.shape,
            "std": self.audio.shape,
        }

    def cut_shapes(self) -> dict[str, Shape]:
        """Shapes of the pooled arrays: `visual_mean` over a cut's frames (D,), `sync_mean` over clips (length, D)."""
        shapes = self._video({"visual_mean": "visual", "sync_mean": "sync"})
        return {name: shape[1:] if name == "visual_mean" else shape for name, shape in shapes.items()}

    def whole_shapes(self) -> dict[str, Shape]:
        """Shapes of the whole sequences of a cut: (ANY_LENGTH, D)."""
        shapes = self._video({"visual_all": "visual", "sync_all": "sync"})
        return {name: (ANY_LENGTH, shape[1]) for name, shape in shapes.items()}

    def text_shapes(self) -> dict[str, Shape]:
        """Shape of the array of a caption."""
        return {} if self.text is None else {"text": self.text.shape}

    def _video(self, streams: Mapping[str, str]) -> dict[str, Shape]:
        chosen = {column: getattr(self, stream) for column, stream in streams.items()}
        return {column: stream.shape for column, stream in chosen.items() if stream is not None}


def create(path: Path, spec: CacheSpec) -> None:
    """Create an empty cache. An existing one stays as it is; raises CacheError if it has other streams."""
    if (path / "set.json").exists():
        existing = read_spec(path)
        if existing != spec:
            raise CacheError(f"{path}: has {_difference(existing, spec)}; extract into another folder")
        return
    with write_beside(path / "set.json") as file:
        file.write((json.dumps({"format": FORMAT, **asdict(spec)}, indent=1) + "\n").encode())


def read_spec(path: Path) -> CacheSpec:
    """The spec that `create` wrote. Raises CacheError if there is no cache, or one of a newer format."""
    name = path / "set.json"
    try:
        content = read_json(name)
        format = content.pop("format")
    except FileNotFoundError:
        inside = ", ".join(sorted(file.parent.name for file in path.glob("*/set.json")))
        hint = f"; it contains {inside}" if inside else ""
        raise CacheError(f"{path}: not a feature cache, set.json is missing{hint}") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CacheError(f"{name}: not the description of a feature cache: {error}") from error
    if format != FORMAT:
        raise CacheError(f"{name}: format {format}; this program reads format {FORMAT}")
    try:
        for stream in ("audio", "visual", "sync", "text"):
            content[stream] = None if content[stream] is None else StreamSpec(**content[stream])
        spec = CacheSpec(**content)
    except (KeyError, TypeError) as error:
        raise CacheError(f"{name}: not the description of a feature cache: {error}") from error
    if type(spec.clip_seconds) is not int or spec.clip_seconds < 1:
        raise CacheError(f"{name}: clip_seconds {spec.clip_seconds!r}; must be a whole number from 1 on")
    if spec.dtype not in ("float16", "float32") or spec.audio is None:
        raise CacheError(f"{name}: dtype {spec.dtype!r} and audio {spec.audio}; must be float16 or float32, with audio")
    return spec


def _difference(existing: CacheSpec, wanted: CacheSpec) -> str:
    """Describe the first field in which two specs differ."""
    names = [field.name for field in fields(CacheSpec) if getattr(existing, field.name) != getattr(wanted, field.name)]
    return f"{names[0]} {_words(getattr(existing, names[0]))}, not {_words(getattr(wanted, names[0]))}"


def _words(value: object) -> str:
    if isinstance(value, StreamSpec):
        return f"{value.encoder} {value.version} ({value.length} x {value.dimension})"
    return "absent" if value is None else str(value)
