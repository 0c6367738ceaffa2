"""Mixes the channels of a recording for listeners, to two sides: channels that cancel each other stay audible."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Share of a channel on (left, right); those above and those off the centre count as what they are named after.
_HALF = math.sqrt(0.5)
_SIDES = {
    **dict.fromkeys(("FL", "L", "DL"), (1.0, 0.0)),
    **dict.fromkeys(("FR", "R", "DR"), (0.0, 1.0)),
    **dict.fromkeys(("BL", "SL", "WL"), (_HALF, 0.0)),
    **dict.fromkeys(("BR", "SR", "WR"), (0.0, _HALF)),
    **dict.fromkeys(("F", "B", "", "LFE", "LFE2"), (_HALF, _HALF)),
}


def two_sides(channels: int, layout: str) -> NDArray[np.float32]:
    """Weights (rows, channels) that make left and right of the channels; of one channel, itself.

    Centre and rear channels go at -3 dB to their side or to both (ITU-R BS.775), the bass channel too: no channel may
    be missing. Unnamed channels go to both sides.
    """
    if channels <= 2:
        return np.eye(channels, dtype=np.float32)
    named = [channel.name for channel in av.AudioLayout(layout).channels] if layout else []
    sides = np.array([_SIDES.get(name.removeprefix("T").removesuffix("C"), (1.0, 1.0)) for name in named]).T
    if sides.shape != (2, channels) or not sides.any(axis=1).all():
        sides = np.ones((2, channels))  # not as the header claims
    return np.asarray(sides / sides.sum(axis=1, keepdims=True), np.float32)
