"""Measures momentary loudness with FFmpeg's EBU R 128 filter, block by block."""

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

FLOOR_LUFS = -120.0  # silence; the filter reports other values for it, depending on the signal before


class MomentaryLoudness:
    """Momentary loudness (ITU-R BS.1770-4: K-weighted power over 400 ms, every 100 ms) of a signal fed in pieces.

    `layout` is FFmpeg's name of the channel layout. Low-frequency channels are left out, surround channels weigh 1.41,
    unnamed channels weigh 1. Sample rates from 8000 Hz.
    """

    def __init__(self, sample_rate: int, layout: str, channels: int) -> None:
        # PyAV reads and writes one plane too many in planar frames of 8 channels and more: pack those.
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
        """Feed float32 (channels, n); return (end in samples, LUFS) of each 400 ms window that became complete.

        Silence has FLOOR_LUFS. Windows that end before 400 ms are measured as if silence came before the signal.
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
        """Return the windows held back at the end."""
        if not self._fed:
            return []
        self._source.push(None)
        return self._pull()

    def _pull(self) -> list[tuple[int, float]]:
        windows: list[tuple[int, float]] = []
        while True:
            try:
                frame = cast(av.AudioFrame, self._sink.pull())
            except (NothingYet, AllGiven):
                return windows
            momentary = frame.metadata.get("lavfi.r128.M")
            if momentary is not None and frame.pts is not None:
                # not frame.samples alone: where 100 ms is not a whole number of samples the filter rounds down
                loudness = float(momentary)
                # after loud audio its running sum may end just below zero, and the logarithm is NaN
                windows.append((frame.pts + frame.samples, loudness if loudness > FLOOR_LUFS else FLOOR_LUFS))
