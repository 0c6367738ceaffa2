"""Decodes a source to the samples of the pool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.errors import LpseError

from ...media import audio_blocks, resampled
from .pool import RATE

DECODER = "1"
"""The version of the decoding: parts of the pool that another version decoded are decoded again."""
MOST_SECONDS = 3600
RAW = {"g722": "g722", "gsm": "gsm"}
"""Extensions of formats without a header."""


class TooLongError(LpseError):
    """A source that is longer than MOST_SECONDS."""


def decoded(path: Path, rates: Mapping[int, int] | None = None) -> NDArray[np.int16]:
    """The samples (n,) of a file at RATE, the mean of its channels, without digital silence at both ends.

    `rates` maps sample rates that are claimed wrongly to the true ones, in Hz. Raises MediaError, TooLongError.
    """
    pieces: list[NDArray[np.float32]] = []
    native: list[NDArray[np.float32]] = []
    claimed, seconds = 0, 0.0
    for block in audio_blocks(path, [RATE], 10, RAW.get(path.suffix[1:].lower())):
        claimed = block.native_rate
        seconds += block.native.shape[1] / claimed
        if seconds > MOST_SECONDS:
            raise TooLongError(f"longer than {MOST_SECONDS} s")
        pieces.append(block.mono[RATE])
        if rates and claimed in rates:
            native.append(block.native.mean(axis=0))
    if native:
        pieces = [resampled(np.concatenate(native), (rates or {})[claimed], RATE)]
    samples = np.concatenate(pieces)
    return trimmed(np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16))


def trimmed(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """The samples without the zeros at both ends."""
    sounding = np.flatnonzero(samples)
    return samples[sounding[0] : sounding[-1] + 1] if len(sounding) else samples[:0]
