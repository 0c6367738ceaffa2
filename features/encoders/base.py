"""What an encoder is: a frozen description of what it takes and gives, and one call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from curation.backends.weights import weights_hash

if TYPE_CHECKING:
    from torch import Tensor

Stream = Literal["visual", "sync", "audio", "text"]
Fit = Literal["stretch", "crop"]

CLIP_SECONDS = 8
"""What a clip lasts: the length that MMAudio is trained on."""


@dataclass(frozen=True)
class FrameLayout:
    """The pictures that an encoder sees: `fps` of them a second, RGB, `side` x `side` pixels.

    `fit`: "stretch" takes the whole picture, whatever its shape; "crop" brings its short side to `side` and takes the
    middle. The encoder looks at windows of `window` pictures, `stride` apart, and gives `vectors` for each.
    """

    fps: int
    side: int
    fit: Fit
    window: int = 1
    stride: int = 1
    vectors: int = 1

    def length(self, pictures: int) -> int:
        """How many vectors come of so many pictures."""
        return self.vectors * max(0, (pictures - self.window) // self.stride + 1)


@dataclass(frozen=True)
class EncoderSpec:
    """Everything that decides an encoder's numbers: the key of what is cached.

    `version` names the code and the weights. `rate`: vectors a second (None for text), `dimension`: of each,
    `length`: vectors of a clip of 8 s, or of a caption. `pictures` of visual and sync encoders, `sample_rate` in hertz
    and `samples` (of a clip: with it the codec gives `length` vectors) of audio encoders.
    """

    name: str
    version: str
    stream: Stream
    rate: float | None
    dimension: int
    length: int
    pictures: FrameLayout | None = None
    sample_rate: int | None = None
    samples: int | None = None


class VideoEncoder(Protocol):
    """Of pictures: "visual" (what is seen) or "sync" (what moves, and when)."""

    @property
    def spec(self) -> EncoderSpec:
        """What it is."""
        ...

    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, side, side) as `spec.pictures` says -> float32 (T, D), T = spec.pictures.length(F)."""
        ...


class AudioEncoder(Protocol):
    """Of sound, into latents and back."""

    @property
    def spec(self) -> EncoderSpec:
        """What it is."""
        ...

    def encode(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (samples,) at `spec.sample_rate` -> mean and standard deviation of the latents, float32 (T, C)."""
        ...


class TextEncoder(Protocol):
    """Of captions."""

    @property
    def spec(self) -> EncoderSpec:
        """What it is."""
        ...

    def encode(self, text: str) -> Tensor:
        """float32 (L, D)."""
        ...


def check_frames(name: str, frames: Tensor, side: int) -> None:
    """Raises ValueError where `frames` are not uint8 (F, 3, side, side)."""
    if str(frames.dtype) != "torch.uint8" or frames.ndim != 4 or tuple(frames.shape[1:]) != (3, side, side):
        given = f"{frames.dtype} {tuple(frames.shape)}"
        raise ValueError(f"{name}: pictures are {given}, not torch.uint8 (F, 3, {side}, {side})")


def weights_version(path: Path, code: int | str) -> str:
    """`code` (the version of what runs the weights) and the first 12 hex of the file's SHA-256."""
    return f"{code}-{weights_hash(path)}"
