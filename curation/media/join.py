"""Joins a decoder's pieces into one continuous signal, placed to the sample."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from manifests.time import to_ticks

from .clock import StreamClock
from .decode import JITTER_SECONDS, ROUNDING_SECONDS, Decoder, Piece
from .probe import describe, open_media

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Joiner:
    """Joins a decoder's pieces into one continuous signal that starts at `begin` seconds.

    `grid`, (first, step): the first piece that counts ends a whole number of steps after sample `first`. Its end, not
    its start, because decoders cut their first frame after a seek as they do at the beginning.
    """

    def __init__(self, clock: StreamClock, begin: float = 0.0, grid: tuple[int, int] | None = None) -> None:
        self._clock = clock
        self._begin = begin
        self._grid = grid
        self._placed = 0  # samples so far

    def join(self, decoder: Decoder) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (samples of silence, then float32 (channels, n)) per piece."""
        held: tuple[int, NDArray[np.float32]] | None = None  # only the last piece may be cut at its end
        for piece in decoder.pieces():
            if held is not None:
                yield held
            held = self._place(piece, decoder.rate)
            if held[1].shape[1] == 0:
                held = None
        if held is not None:
            silence, samples = held
            yield silence, samples[:, : max(1, samples.shape[1] - decoder.padding)]

    def _place(self, piece: Piece, rate: int) -> tuple[int, NDArray[np.float32]]:
        count = piece.samples.shape[1]
        offset = 0 if piece.time is None else self._offset(piece.time, count, rate, piece.lossy)
        skip = min(max(-offset, 0), count)
        silence = max(offset, 0) if count else 0
        self._placed += silence + count - skip
        return silence, piece.samples[:, skip:]

    def _offset(self, time: float, count: int, rate: int, lossy: bool) -> int:
        end = to_ticks(self._begin, rate) + self._placed
        position = to_ticks(self._clock.seconds(time, end / rate), rate)
        if self._placed == 0:
            return self._on_grid(position + count, rate) - count - end  # the first piece sets the start, to the sample
        # After lost audio only the timestamp is left, good to a millisecond or so.
        jitter = ROUNDING_SECONDS if lossy else JITTER_SECONDS
        return position - end if abs(position - end) > jitter * rate else 0

    def _on_grid(self, position: int, rate: int) -> int:
        if self._grid is None:
            return position
        first, step = self._grid
        nearest = first + step * round((position - first) / step)
        return nearest if abs(nearest - position) <= ROUNDING_SECONDS * rate else position


def after(start: float, joiner: Joiner, decoder: Decoder) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The output of `joiner` without the samples before `start` seconds."""
    ahead: int | None = None
    for silence, samples in joiner.join(decoder):
        if ahead is None:
            ahead = to_ticks(start, decoder.rate)
        dropped = min(ahead, silence + samples.shape[1])
        ahead -= dropped
        if dropped < silence + samples.shape[1]:
            yield max(0, silence - dropped), samples[:, max(0, dropped - silence) :]


def packet_grid(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """(first, step): packets end at sample `first` of the recording and whole steps later, if nothing is missing.

    Needed where the container's clock is coarser than the samples: there a timestamp in the middle of the file is some
    samples off, while reading from the beginning counts samples. None where the clock is finer, or the step unknown.
    """
    with open_media(path) as container:
        info = describe(container)
        decoder = Decoder(container)
        if not decoder.is_coarse:
            return None
        for silence, samples in Joiner(StreamClock(info.zero, info.duration)).join(decoder):
            return (silence + samples.shape[1], decoder.step) if decoder.step else None
    return None
