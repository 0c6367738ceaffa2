"""The contract of an encoder: a frozen description of its input and output, and one call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from curation.backends.weights import weights_hash

if TYPE_CHECKING:
    from torch import Tensor

Stream = Literal["visual", "sync", "audio", "text"]
Fit = Literal["stretch", "crop"]

CLIP_SECONDS = 8
"""Length of a clip: the one that MMAudio is trained on."""


@dataclass(frozen=True)
class FrameLayout:
    """The frames that an encoder takes: `fps` per second, RGB, `side` x `side` pixels.

    `fit`: "stretch" takes the whole frame, of any aspect ratio; "crop" scales its short side to `side` and takes the
    middle. The encoder works on windows of `window` frames, `stride` apart, and gives `vectors` vectors for each.
    """

    fps: int
    side: int
    fit: Fit
    window: int = 1
    stride: int = 1
    vectors: int = 1

    def length(self, frames: int) -> int:
        """The number of vectors from `frames` frames."""
        return self.vectors * max(0, (frames - self.window) // self.stride + 1)


@dataclass(frozen=True)
class EncoderSpec:
    """Everything that decides an encoder's numbers: the key of cached features.

    `version` names the code and the weights. `rate`: vectors per second (None for text), `dimension` of each,
    `length`: vectors of a clip of 8 s, or of a caption. Visual and sync encoders have `frames`; audio encoders have
    `sample_rate` in hertz and `samples`, the samples of a clip that give `length` vectors.
    """

    name: str
    version: str
    stream: Stream
    rate: float | None
    dimension: int
    length: int
    frames: FrameLayout | None = None
    sample_rate: int | None = None
    samples: int | None = None


class VideoEncoder(Protocol):
    """Encodes frames into "visual" vectors (what is in the frame) or "sync" vectors (what moves, and when)."""

    @property
    def spec(self) -> EncoderSpec:
        """Description of the encoder."""
        ...

    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, side, side), laid out as `spec.frames` -> float32 (T, D), T = spec.frames.length(F)."""
        ...


class AudioEncoder(Protocol):
    """Encodes audio into latents."""

    @property
    def spec(self) -> EncoderSpec:
        """Description of the encoder."""
        ...

    def encode(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (samples,) at `spec.sample_rate` -> mean and standard deviation of the latents, float32 (T, C)."""
        ...


@runtime_checkable
class MelCodec(AudioEncoder, Protocol):
    """An audio encoder with a way back to log-mel spectrograms, for a vocoder."""

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (T, C) -> log-mel (bands, 2 T), float32."""
        ...


@runtime_checkable
class WaveformCodec(AudioEncoder, Protocol):
    """An audio encoder with a way back to audio of its own."""

    def waveform(self, latents: Tensor) -> Tensor:
        """Latents (T, C) -> float32 (2 T hop,) at `spec.sample_rate`."""
        ...


class TextEncoder(Protocol):
    """Encodes captions."""

    @property
    def spec(self) -> EncoderSpec:
        """Description of the encoder."""
        ...

    def encode(self, text: str) -> Tensor:
        """Caption -> float32 (L, D)."""
        ...


def check_frames(name: str, frames: Tensor, side: int) -> None:
    """Raises ValueError unless `frames` are uint8 (F, 3, side, side)."""
    if str(frames.dtype) != "torch.uint8" or frames.ndim != 4 or tuple(frames.shape[1:]) != (3, side, side):
        given = f"{frames.dtype} {tuple(frames.shape)}"
        raise ValueError(f"{name}: frames are {given}, not torch.uint8 (F, 3, {side}, {side})")


def weights_version(path: Path, code: int | str) -> str:
    """`code` (the version of the code that runs the weights) and the first 12 hex digits of the file's SHA-256."""
    return f"{code}-{weights_hash(path)}"
