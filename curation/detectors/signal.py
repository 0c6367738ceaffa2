"""How loud the sound is, and whether its channels are sound: offset, dead, copied, cancelling each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from manifests.scores import FrameScores

from .base import BlockPlan, DetectorSpec

if TYPE_CHECKING:
    from ..media import AudioBlock, MomentaryLoudness

HOP, WINDOW = 0.1, 0.4
FRAMES = 10  # in a second
FLOOR_LUFS = -120.0
SOUND_DBFS = -60.0  # RMS from which on a channel counts as sounding
DEAD_DBFS, DEAD_DB = -70.0, 40.0  # a dead one lies below that, and so far under the loudest
COPY_DB = 60.0  # a copy differs by this much less than there is
MAX_LOSS_DB = 60.0
# float16 keeps 11 bits: 0.03 LU at -60 LUFS and finer above, which a mean over seconds evens out; an offset to 0.05 %
# of itself; counts exactly
LABELS = ("loudness_lufs", "dc", "dead", "copied", "mono_loss_db")
# as FFmpeg orders the channels of a layout; this one is silent most of the time, and may be
_LOW_FREQUENCY = {"2.1": 2, "3.1": 3, "4.1": 3, "5.1": 3, "5.1(side)": 3, "6.1": 3, "7.1": 3, "7.1(wide)": 3}


def spec() -> DetectorSpec:
    """The detector's identity; it needs no weights."""
    return DetectorSpec("signal", "1", None, LABELS, HOP, WINDOW, BlockPlan(core=0), stateless=False)


class Signal:
    """Frames of 400 ms every 100 ms, by lane:

    `loudness_lufs`: momentary loudness (BS.1770-4), -120 in silence, NaN where the recording ends before the window.
    The others hold for the second that the frame begins in. `dc`: mean of the channel in which it is largest, with its
    sign, full scale is 1. `dead`: channels without sound while another sounds. `copied`: channels that repeat an
    earlier one. `mono_loss_db`: how much quieter the mean of the channels is than a channel on average, 0 to 60 dB: 3
    for two independent channels, large where channels cancel each other.
    """

    def __init__(self) -> None:
        self.spec = spec()
        self.begin()

    def begin(self) -> None:
        """Forget what was heard: a new recording begins."""
        self._meter: MomentaryLoudness | None = None
        self._samples = self._rate = 0
        self._momentary: dict[int, float] = {}  # LUFS by frame
        self._seconds: list[tuple[float, float, float, float]] = []

    def scores(self, block: AudioBlock) -> None:
        """Hear the next block. Nothing is said before the end."""
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
        """The scores of the recording heard since `begin`, None without sound."""
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

    def _place(self, found: list[tuple[int, float]]) -> None:
        for end, loudness in found:
            # where a tenth of a second is no whole number of samples two blocks may share a frame: the louder stays
            frame = round(end / self._rate * FRAMES) - round(WINDOW / HOP)
            self._momentary[frame] = max(loudness, self._momentary.get(frame, FLOOR_LUFS))


def channel_faults(samples: NDArray[np.float32], low_frequency: int | None = None) -> tuple[float, float, float, float]:
    """(dc, dead, copied, mono_loss_db) of (channels, n), as in `Signal`; channel `low_frequency` is never dead."""
    means = samples.mean(axis=1).astype(np.float64)
    dc = float(means[np.argmax(np.abs(means))])
    count = samples.shape[1]
    # the channels' products around their means: an offset is no sound
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
    if mixed < 0.01 * float(powers.mean()):  # the products are float32: near nothing only the mixture itself tells
        mixed = float(np.var(samples.mean(axis=0, dtype=np.float64)))
    loss = 10 * np.log10(float(powers.mean()) / mixed) if mixed > 0 else MAX_LOSS_DB
    return dc, float(dead), float(copied), float(np.clip(loss, 0.0, MAX_LOSS_DB))


def _alike(first: NDArray[np.float32], second: NDArray[np.float32], product: float, power: float) -> bool:
    """Whether two channels are the same but for COPY_DB; `product` and `power` save looking where they are not."""
    if product < 0.99 * power:
        return False
    return float(np.var(first - second)) <= power * _power(-COPY_DB)


def _power(decibels: float) -> float:
    return float(10 ** (decibels / 10))
