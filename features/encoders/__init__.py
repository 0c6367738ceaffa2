"""Encoders: each turns pictures, sound or a caption into vectors; none knows where these are kept.

`spec` identifies one without loading its weights, `open_encoder` loads it, once per worker. What comes inside no
package (the user's weights, a corpus's fits) is in the `ModelSetup`; the large networks also run in bfloat16.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from curation.backends.weights import ModelSetup, ModelUnavailable

from .base import CLIP_SECONDS, AudioEncoder, EncoderSpec, FrameLayout, Stream, TextEncoder, VideoEncoder
from .precision import Precision


@dataclass(frozen=True)
class _Entry:
    """Where an encoder is: its module's function that describes it, its class; `precise`: it takes a precision."""

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
    "EncoderSpec",
    "FrameLayout",
    "ModelSetup",
    "ModelUnavailable",
    "Precision",
    "Stream",
    "TextEncoder",
    "VideoEncoder",
    "open_encoder",
    "spec",
]


def spec(name: str, setup: ModelSetup, precision: Precision = "float32") -> EncoderSpec:
    """What the encoder is. Raises ModelUnavailable, with how to get it, when it cannot run here."""
    entry, module = _found(name)
    describe = getattr(module, entry.described)
    described: EncoderSpec = describe(setup, precision) if entry.precise else describe(setup)
    return described


def open_encoder(name: str, setup: ModelSetup, device: str = "cpu", precision: Precision = "float32") -> Any:
    """The encoder, ready on `device` ("cpu", "cuda", …); small ones always run in float32."""
    entry, module = _found(name)
    make = getattr(module, entry.opened)
    return make(setup, device, precision) if entry.precise else make(setup, device)


def _found(name: str) -> tuple[_Entry, Any]:
    if name not in _ENCODERS:
        raise ModelUnavailable(f"no encoder {name!r}; there are {', '.join(NAMES)}")
    return _ENCODERS[name], import_module(f".{_ENCODERS[name].module}", __name__)
