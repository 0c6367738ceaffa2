"""Encoders: each turns frames, audio or a caption into vectors; none of them stores anything.

`spec` describes an encoder without loading its weights; `open_encoder` loads it, once per worker. Files that no package
ships (the user's weights, a corpus's fits) are named in the `ModelSetup`. The large networks also run in bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal, cast, get_args, overload

from curation.backends.weights import ModelSetup, ModelUnavailable

from .base import (
    CLIP_SECONDS,
    AudioEncoder,
    EncoderSpec,
    FrameLayout,
    MelCodec,
    Stream,
    TextEncoder,
    VideoEncoder,
    WaveformCodec,
)
from .precision import Precision

VideoName = Literal["efficientnet", "clip", "motion", "synchformer"]
AudioName = Literal["melcodec_16k", "melcodec_44k", "vae_16k", "vae_44k"]
TextName = Literal["minilm", "clip_text"]
Encoder = VideoEncoder | AudioEncoder | TextEncoder


@dataclass(frozen=True)
class _Entry:
    """The module of an encoder, its class and the function that describes it; `precise`: both take a precision."""

    module: str
    opened: str
    described: str = "spec"
    precise: bool = False


_ENCODERS = {
    "efficientnet": _Entry("efficientnet", "EfficientNet"),
    "clip": _Entry("clip", "Clip", precise=True),
    "motion": _Entry("motion", "Motion"),
    "synchformer": _Entry("synchformer", "SynchformerEncoder", precise=True),
    "melcodec_16k": _Entry("melcodec", "MelCodec16k", "spec_16k"),
    "melcodec_44k": _Entry("melcodec", "MelCodec44k", "spec_44k"),
    "vae_16k": _Entry("vae", "Vae16k", "spec_16k"),
    "vae_44k": _Entry("vae", "Vae44k", "spec_44k"),
    "minilm": _Entry("minilm", "MiniLm"),
    "clip_text": _Entry("clip_text", "ClipText", precise=True),
}
NAMES = tuple(_ENCODERS)

__all__ = [
    "CLIP_SECONDS",
    "NAMES",
    "AudioEncoder",
    "Encoder",
    "EncoderSpec",
    "FrameLayout",
    "MelCodec",
    "ModelSetup",
    "ModelUnavailable",
    "Precision",
    "Stream",
    "TextEncoder",
    "VideoEncoder",
    "WaveformCodec",
    "open_audio_encoder",
    "open_encoder",
    "open_text_encoder",
    "open_video_encoder",
    "spec",
]


def spec(name: str, setup: ModelSetup, precision: Precision = "float32") -> EncoderSpec:
    """The description of an encoder. Raises ModelUnavailable, with how to get it, if it cannot run here."""
    entry, module = _found(name)
    describe = getattr(module, entry.described)
    described: EncoderSpec = describe(setup, precision) if entry.precise else describe(setup)
    return described


@overload
def open_encoder(
    name: VideoName, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32"
) -> VideoEncoder: ...
@overload
def open_encoder(
    name: AudioName, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32"
) -> AudioEncoder: ...
@overload
def open_encoder(
    name: TextName, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32"
) -> TextEncoder: ...
@overload
def open_encoder(name: str, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32") -> Encoder: ...


def open_encoder(name: str, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32") -> Encoder:
    """The encoder, ready on `device` ("cpu", "cuda", …); small ones always run in float32.

    Raises ModelUnavailable, with how to get it, if it cannot run here.
    """
    entry, module = _found(name)
    make = getattr(module, entry.opened)
    return cast(Encoder, make(setup, device, precision) if entry.precise else make(setup, device))


def open_video_encoder(
    name: str, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32"
) -> VideoEncoder:
    """`open_encoder` for a name that a recipe gives for visual or sync vectors; raises ModelUnavailable for others."""
    _check_kind(name, "video", get_args(VideoName))
    return cast(VideoEncoder, open_encoder(name, setup, device, precision))


def open_audio_encoder(
    name: str, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32"
) -> AudioEncoder:
    """`open_encoder` for a name that a recipe gives for audio; raises ModelUnavailable for others."""
    _check_kind(name, "audio", get_args(AudioName))
    return cast(AudioEncoder, open_encoder(name, setup, device, precision))


def open_text_encoder(
    name: str, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32"
) -> TextEncoder:
    """`open_encoder` for a name that a recipe gives for captions; raises ModelUnavailable for others."""
    _check_kind(name, "text", get_args(TextName))
    return cast(TextEncoder, open_encoder(name, setup, device, precision))


def _check_kind(name: str, kind: str, names: tuple[str, ...]) -> None:
    _found(name)
    if name not in names:
        raise ModelUnavailable(f"{name} is not an encoder of {kind}; there are {', '.join(names)}")


def _found(name: str) -> tuple[_Entry, ModuleType]:
    if name not in _ENCODERS:
        raise ModelUnavailable(f"no encoder {name!r}; there are {', '.join(NAMES)}")
    return _ENCODERS[name], import_module(f".{_ENCODERS[name].module}", __name__)
