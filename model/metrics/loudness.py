"""Integrated loudness of audio in memory: audio is compared only at equal loudness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.decision.measures import integrated_loudness
from curation.media import MomentaryLoudness

WINDOW_SECONDS = 0.4  # of a momentary block


def loudness(audio: NDArray[np.floating], sample_rate: int) -> float | None:
    """Integrated loudness in LUFS (BS.1770-4) of (samples,) or (channels, samples); -70 if all of it is gated.

    Two channels are left and right; others have weight 1. None for audio shorter than 400 ms, which has no block.
    Raises ValueError for another shape, NaN or infinite samples.
    """
    if audio.ndim not in (1, 2) or not np.isfinite(audio).all():
        raise ValueError(f"loudness: audio of shape {audio.shape}, must be finite (samples,) or (channels, samples)")
    channels = np.atleast_2d(audio)
    meter = MomentaryLoudness(sample_rate, "", len(channels))
    blocks: list[tuple[int, float]] = []
    for first in range(0, channels.shape[1], sample_rate):  # one second at a time: the filter copies its input
        blocks += meter.push(np.asarray(channels[:, first : first + sample_rate], np.float32))
    blocks += meter.finish()
    whole = round(WINDOW_SECONDS * sample_rate)
    return integrated_loudness(np.array([value for end, value in blocks if end >= whole]))
