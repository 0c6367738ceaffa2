"""Loudness by FFmpeg's EBU R 128 filter, fed block by block."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as AllGiven
from av.filter import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR_LUFS = -120.0  # silence; the filter has other words for it, depending on what came before


class MomentaryLoudness:
    """Momentary loudness (ITU-R BS.1770-4: K-weighted power over 400 ms, new every 100 ms) of a signal fed in pieces.

    `layout` is FFmpeg's name of the channel layout; low-frequency channels are left out, surround channels weigh
    1.41, channels that nobody named weigh 1. Any sample rate in Hz from 8000 on.
    """

    def __init__(self, sample_rate: int, layout: str, channels: int) -> None:
        # PyAV reads and writes a plane too many in planar frames of 8 channels and more: pack those.
        self._format = "fltp" if channels < 8 else "flt"
        self._layout = layout or {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
        self._rate = sample_rate
        self._fed = 0  # samples
        self._graph = Graph()
        tick = Fraction(1, sample_rate)
        self._source = self._graph.add_abuffer(
            format=self._format, sample_rate=sample_rate, layout=self._layout, time_base=tick
        )
        meter = self._graph.add("ebur128", "metadata=1:framelog=quiet")
        self._sink = self._graph.add("abuffersink")
        self._source.link_to(meter)
        meter.link_to(self._sink)
        self._graph.configure()

    def push(self, samples: NDArray[np.float32]) -> list[tuple[int, float]]:
        """Feed float32 (channels, n); (sample at which they end, LUFS) of the 400 ms that became complete.

        What is silent has FLOOR_LUFS. Those that end before 400 ms are heard as if silence came before the signal.
        """
        if not samples.shape[1]:
            return []
        raw = samples if self._format == "fltp" else samples.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(raw), format=self._format, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._fed, Fraction(1, self._rate)
        self._fed += samples.shape[1]
        self._source.push(frame)
        return self._pull()

    def finish(self) -> list[tuple[int, float]]:
        """What was held back at the end."""
        if not self._fed:
            return []
        self._source.push(None)
        return self._pull()

    def _pull(self) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        while True:
            try:
                frame = cast(av.AudioFrame, self._sink.pull())
            except (NothingYet, AllGiven):
                return found
            momentary = frame.metadata.get("lavfi.r128.M")
            if momentary is not None and frame.pts is not None:
                # not frame.samples alone: where 100 ms are no whole number of samples the filter rounds them down
                loudness = float(momentary)
                # after loud sound its running sum may end just below nothing, and the logarithm is NaN
                found.append((frame.pts + frame.samples, loudness if loudness > FLOOR_LUFS else FLOOR_LUFS))
