"""Measures loudness and faults of channels: DC offset, dead, copied or cancelling channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores

from .base import BlockPlan, DetectorSpec

if TYPE_CHECKING:
    from ..media import AudioBlock, MomentaryLoudness

HOP, WINDOW = 0.1, 0.4
FRAMES = 10  # per second
FLOOR_LUFS = -120.0
SOUND_DBFS = -60.0  # RMS from which a channel counts as active
DEAD_DBFS, DEAD_DB = -70.0, 40.0  # a dead channel is below the first, and this far below the loudest
COPY_DB = 60.0  # the difference of a copy is this far below its level
MAX_LOSS_DB = 60.0
# float16 has 11 bits: 0.03 LU at -60 LUFS and finer above, which a mean over seconds evens out; an offset to 0.05 %
# of its value; counts exactly
LABELS = ("loudness_lufs", "dc", "dead", "copied", "mono_loss_db")
# index in FFmpeg's channel order; this channel may be silent, and mostly is
_LOW_FREQUENCY = {"2.1": 2, "3.1": 3, "4.1": 3, "5.1": 3, "5.1(side)": 3, "6.1": 3, "7.1": 3, "7.1(wide)": 3}


def spec() -> DetectorSpec:
    """The detector's identity; it needs no weights."""
    return DetectorSpec("signal", "1", None, LABELS, HOP, WINDOW, BlockPlan(core=0), stateless=False)


class Signal:
    """Frames of 400 ms every 100 ms, by label:

    `loudness_lufs`: momentary loudness (BS.1770-4), -120 in silence, NaN if the recording ends before the window. The
    others hold for the second in which the frame begins. `dc`: the channels' largest mean, with its sign, full scale is
    1. `dead`: channels that are silent while another is not. `copied`: channels that repeat an earlier one.
    `mono_loss_db`: level of an average channel over the mean of the channels, 0 to 60 dB: 3 for two independent
    channels, large if channels cancel each other.
    """

    def __init__(self) -> None:
        self.spec = spec()
        self.begin()

    def begin(self) -> None:
        """Reset for a new recording."""
        self._meter: MomentaryLoudness | None = None
        self._samples = self._rate = 0
        self._momentary: dict[int, float] = {}  # LUFS by frame
        self._seconds: list[tuple[float, float, float, float]] = []

    def scores(self, block: AudioBlock) -> None:
        """Process the next block. Scores come at the end."""
        if self._meter is None:
            from ..media import MomentaryLoudness

            self._rate = block.native_rate
            self._meter = MomentaryLoudness(block.native_rate, block.layout, len(block.native))
        self._place(self._meter.push(block.native))
        low = _LOW_FREQUENCY.get(block.layout)
        for begin in range(0, block.native.shape[1], block.native_rate):
            self._seconds.append(channel_faults(block.native[:, begin : begin + block.native_rate], low))
        self._samples += block.native.shape[1]

    def finish(self) -> FrameScores | None:
        """The scores of the recording since `begin`, None without audio."""
        if self._meter is None:
            return None
        self._place(self._meter.finish())
        count = -(-self._samples * FRAMES // self._rate)
        values = np.full((count, len(LABELS)), np.nan, np.float32)
        for frame, loudness in self._momentary.items():
            if 0 <= frame < count:
                values[frame, 0] = loudness
        values[:, 1:] = np.repeat(np.array(self._seconds), FRAMES, axis=0)[:count]
        return FrameScores(0.0, HOP, WINDOW, LABELS, values.astype(np.float16))

    def _place(self, windows: list[tuple[int, float]]) -> None:
        for end, loudness in windows:
            # if 100 ms is not a whole number of samples, two blocks may share a frame: the louder one is kept
            frame = round(end / self._rate * FRAMES) - round(WINDOW / HOP)
            self._momentary[frame] = max(loudness, self._momentary.get(frame, FLOOR_LUFS))


def channel_faults(samples: NDArray[np.float32], low_frequency: int | None = None) -> tuple[float, float, float, float]:
    """(dc, dead, copied, mono_loss_db) of (channels, n), as in `Signal`; channel `low_frequency` is never dead."""
    means = samples.mean(axis=1).astype(np.float64)
    dc = float(means[np.argmax(np.abs(means))])
    count = samples.shape[1]
    # the channels' products around their means: an offset is not audio
    products = np.asarray(samples @ samples.T, np.float64) / count - np.outer(means, means)
    powers = np.maximum(np.diagonal(products), 0.0)
    loudest = float(powers.max())
    if loudest < _power(SOUND_DBFS):
        return dc, 0.0, 0.0, 0.0
    silent = powers < min(_power(DEAD_DBFS), loudest * _power(-DEAD_DB))
    dead = sum(bool(s) for channel, s in enumerate(silent) if channel != low_frequency)
    sounding = np.flatnonzero(~silent).tolist()
    copied = sum(
        any(_alike(samples[a], samples[b], products[a, b], powers[b]) for a in sounding[:at])
        for at, b in enumerate(sounding)
    )
    mixed = float(products.sum()) / len(samples) ** 2
    if mixed < 0.01 * float(powers.mean()):  # the products are float32: near zero only the mix itself is exact
        mixed = float(np.var(samples.mean(axis=0, dtype=np.float64)))
    loss = 10 * np.log10(float(powers.mean()) / mixed) if mixed > 0 else MAX_LOSS_DB
    return dc, float(dead), float(copied), float(np.clip(loss, 0.0, MAX_LOSS_DB))


def _alike(first: NDArray[np.float32], second: NDArray[np.float32], product: float, power: float) -> bool:
    """True if two channels are equal to within COPY_DB; `product` and `power` give a fast no."""
    if product < 0.99 * power:
        return False
    return float(np.var(first - second)) <= power * _power(-COPY_DB)


def _power(decibels: float) -> float:
    return float(10 ** (decibels / 10))
