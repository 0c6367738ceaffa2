"""Audibility of the joins in long audio: the energy just before a join against the energy just after it.

Per join b, with w = 10 ms and e-, e+ the mean squares of the w samples before and after b:

- `rel`: |e+ - e-| / (e+ + e- + 1e-12), from 0 to 1, independent of the loudness. White noise has 0.038 at 44.1 kHz,
  0.181 with a jump in gain by 1.2, 0.599 by 2.
- `log`: |log10((e+ + 1e-8) / (e- + 1e-8))|
- `rms`: |sqrt e+ - sqrt e-|; its mean difference from that of other audio, join by join, is `rms_difference`.

"Energy Δ10ms" of LD-LAudio-V1 is not defined in print; `rel` is the form that gives similar figures. The same measure
away from joins is a control: an adapter that only made everything smoother would lower it too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from numpy.typing import NDArray

from curation.media import audio_blocks
from features.encoders import CLIP_SECONDS
from manifests.time import to_ticks

WINDOW_SECONDS = 0.010
CLEARANCE_SECONDS = 0.5  # of the control's times: no crossfade extends so far
REL_FLOOR, LOG_FLOOR = 1e-12, 1e-8  # of the mean square: -120 and -80 dB of full scale
_BLOCK_SECONDS = 10

Energies = NDArray[np.float64]
"""(n, 2): mean squares before and after each of n joins."""


@dataclass(frozen=True)
class SeamMetrics:
    """Means over `count` joins; NaN without joins."""

    rel: float
    log: float
    rms: float
    count: int

    @classmethod
    def of(cls, energies: Energies) -> SeamMetrics:
        """The metrics of mean squares (n, 2)."""
        if not len(energies):
            return cls(np.nan, np.nan, np.nan, 0)
        means = [float(part(energies).mean()) for part in (rel, log, rms)]
        return cls(means[0], means[1], means[2], len(energies))


def rel(energies: Energies) -> NDArray[np.float64]:
    """(n, 2) -> (n,) from 0, equal energies, to 1, silence on one side."""
    before, after = energies.T
    return np.asarray(np.abs(after - before) / (after + before + REL_FLOOR))


def log(energies: Energies) -> NDArray[np.float64]:
    """(n, 2) -> (n,) in bels."""
    before, after = energies.T
    return np.asarray(np.abs(np.log10((after + LOG_FLOOR) / (before + LOG_FLOOR))))


def rms(energies: Energies) -> NDArray[np.float64]:
    """(n, 2) -> (n,) in the unit of the samples."""
    before, after = np.sqrt(energies).T
    return np.asarray(np.abs(after - before))


def rms_difference(generated: Energies, real: Energies) -> float:
    """Mean |rms - rms of the recorded audio| over the same joins, the column "vs. GT"; both at the same loudness.

    NaN without joins. Raises ValueError for different numbers of joins.
    """
    if generated.shape != real.shape:
        raise ValueError(f"seams: {len(generated)} joins against {len(real)}")
    return float(np.abs(rms(generated) - rms(real)).mean()) if len(real) else float("nan")


def clip_joins(seconds: float, clip_seconds: float = CLIP_SECONDS) -> list[float]:
    """Times at which the clips of `seconds` of audio meet: whole clips from its start, the last one shifted back."""
    return [clip_seconds * k for k in range(1, ceil(round(seconds / clip_seconds, 9)))]


def control_times(
    seconds: float, joins: Sequence[float], count: int, seed: int = 0, clearance: float = CLEARANCE_SECONDS
) -> list[float]:
    """`count` times drawn evenly from those at least `clearance` seconds from every join and both ends, sorted.

    Raises ValueError if there is no such time.
    """
    borders = [0.0, *sorted(joins), seconds]
    free = [(a + clearance, b - clearance) for a, b in pairwise(borders) if b - a > 2 * clearance]
    if not free:
        raise ValueError(f"seams: no time in {seconds:g} s is {clearance:g} s from every join and end")
    starts, ends = np.array(free).T
    lasted = np.concatenate([[0.0], np.cumsum(ends - starts)])
    drawn = np.sort(np.random.default_rng(seed).uniform(0.0, lasted[-1], count))
    place = np.searchsorted(lasted, drawn, "right").clip(1, len(free)) - 1
    return [float(time) for time in starts[place] + drawn - lasted[place]]


class SeamMeter:
    """Measures the energies around given times in audio that comes in pieces; nothing else is stored.

    `times` in seconds from the start; the nearest sample is the first one after the join.
    """

    def __init__(self, times: Sequence[float], sample_rate: int, window_seconds: float = WINDOW_SECONDS) -> None:
        self._window = to_ticks(window_seconds, sample_rate)
        if self._window < 1:
            raise ValueError(f"seams: {window_seconds:g} s are less than a sample at {sample_rate} Hz")
        self._rate, self._position = sample_rate, 0
        self._at = np.array([to_ticks(time, sample_rate) for time in times], np.int64)
        for time, sample in zip(times, self._at.tolist(), strict=True):
            if sample < self._window:
                raise ValueError(f"seams: a join at {time:g} s has no {window_seconds:g} s before it")
        self._sums = np.zeros((len(self._at), 2))

    def push(self, audio: NDArray[np.floating]) -> None:
        """Add the next samples, (n,)."""
        if audio.ndim != 1:
            raise ValueError(f"seams: audio of shape {audio.shape}, must be (samples,)")
        begin, end = self._position, self._position + len(audio)
        near = (self._at + self._window > begin) & (self._at - self._window < end)
        for row in np.flatnonzero(near).tolist():
            at = int(self._at[row])
            for side, first in enumerate((at - self._window, at)):
                part = audio[max(first - begin, 0) : max(first + self._window - begin, 0)].astype(np.float64)
                self._sums[row, side] += float(part @ part)
        self._position = end

    def finish(self) -> Energies:
        """Mean squares (n, 2) around the times, in their order. Raises ValueError if the audio ended too early."""
        last = int(self._at.max(initial=0))
        if len(self._at) and last + self._window > self._position:
            raise ValueError(
                f"seams: the audio lasts {self._position / self._rate:.3f} s; a join at {last / self._rate:.3f} s "
                f"needs {self._window / self._rate:g} s after it"
            )
        return self._sums / self._window


def energies(
    audio: NDArray[np.floating], sample_rate: int, times: Sequence[float], window_seconds: float = WINDOW_SECONDS
) -> Energies:
    """Mean squares (n, 2) before and after each time, in seconds, of audio (samples,); errors as of SeamMeter."""
    meter = SeamMeter(times, sample_rate, window_seconds)
    meter.push(audio)
    return meter.finish()


def file_energies(
    path: str | os.PathLike[str], times: Sequence[float], window_seconds: float = WINDOW_SECONDS
) -> Energies:
    """`energies` of a media file, the mean of its channels at its own rate, read block by block.

    Raises MediaError if nothing can be decoded, ValueError naming the file as SeamMeter does.
    """
    meter: SeamMeter | None = None
    try:
        for block in audio_blocks(path, rates=(), block_seconds=_BLOCK_SECONDS):
            meter = meter or SeamMeter(times, block.native_rate, window_seconds)
            meter.push(block.native.mean(axis=0, dtype=np.float64))
        assert meter is not None  # without audio there is an error, or a block
        return meter.finish()
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
